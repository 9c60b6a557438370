"""What a generated program does, exactly: every state that it can be in after every statement.

A program is a list of statements over a few variables; its inputs are parameters that it tests, the
answers of functions it calls, and calls of the library that may give nothing. A variable holds a
handle, and the only things that matter of a handle are whether it is empty, whether what it names
is still the program's, and which other variables name the same. So there are few states, loops can
be followed until nothing new happens, and the answer holds for all inputs and all numbers of
rounds.

A fault is
    transfer   an empty handle, or one whose buffer has gone, is used, handed over or freed
    untested   the same with a handle that is empty because the library had nothing to give
    payload    a pointer to the bytes is used although their buffer has gone
    leak       what is still the program's at its end is in no variable that outlives it
"""

import typing

TRANSFER, UNTESTED, PAYLOAD, LEAK = "transfer", "untested", "payload", "leak"
OWNED, GONE = "owned", "gone"
EMPTY, NOTHING = 0, -1  # what a variable holds instead of the number of an object


class Fault(Exception):
    """The program is wrong in this state; the message is one of the kinds."""


class State(typing.NamedTuple):
    """`values` has an object's number for each variable, or EMPTY, or NOTHING; `objects` says what
    each object is, from number 1 on; `inputs` the parameters that were looked at."""

    values: tuple
    objects: tuple
    inputs: tuple
    leaked: bool = False

    def of(self, index):
        """What the variable's handle names: OWNED, GONE or None for an empty one."""
        number = self.values[index]
        return self.objects[number - 1] if number > 0 else None

    def holds(self, index):
        """What a test for NULL says."""
        return self.values[index] > 0

    def require(self, index):
        """Something is done with what the variable holds."""
        if self.values[index] == NOTHING:
            raise Fault(UNTESTED)
        if self.of(index) != OWNED:
            raise Fault(TRANSFER)

    def normal(self):
        """The same state with objects numbered in the order of the variables that name them."""
        order = {}
        for number in self.values:
            if number > 0 and number not in order:
                order[number] = len(order) + 1
        if list(order) == list(range(1, len(self.objects) + 1)):
            return self
        lost = [what for number, what in enumerate(self.objects, 1) if number not in order]
        return State(
            tuple(order.get(number, number) for number in self.values),
            tuple(self.objects[number - 1] for number in order),
            self.inputs,
            self.leaked or OWNED in lost,
        )

    def put(self, index, number):
        values = (*self.values[:index], number, *self.values[index + 1 :])
        return State(values, self.objects, self.inputs, self.leaked)

    def new(self, index):
        """The variable names a new object, which is the program's."""
        objects = (*self.objects, OWNED)
        return State(self.values, objects, self.inputs, self.leaked).put(index, len(objects))

    def end(self, index):
        """What the variable names goes away; the variable stays as it is."""
        self.require(index)
        at = self.values[index] - 1
        objects = (*self.objects[:at], GONE, *self.objects[at + 1 :])
        return State(self.values, objects, self.inputs, self.leaked)

    def told(self, parameter, value):
        """The parameter has been looked at."""
        inputs = (*self.inputs[:parameter], value, *self.inputs[parameter + 1 :])
        return State(self.values, self.objects, inputs, self.leaked)


class Run:
    """Follows a program from a set of states; collects the faults that it meets."""

    def __init__(self):
        self.faults = set()
        self.exits = set()  # states in which the program's end was reached early

    def each(self, states, function):
        """Applies a function, from a state to some states, to all of them."""
        result = set()
        for state in states:
            try:
                result.update(after.normal() for after in function(state))
            except Fault as fault:
                self.faults.add(str(fault))
        return result

    def block(self, statements, states, breaks=None):
        for statement in statements:
            states = statement.run(self, states, breaks)
        return states


def faults(program):
    """The kinds of fault that the program has for some input."""
    run = Run()
    states = run.block(program.body, {program.start()})
    outliving = program.outliving()
    for state in run.block(program.ending, states | run.exits):
        kept = {state.values[index] for index in outliving}
        objects = enumerate(state.objects, start=1)
        if state.leaked or any(what == OWNED and number not in kept for number, what in objects):
            run.faults.add(LEAK)
    return run.faults
