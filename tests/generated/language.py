"""The statements of generated programs: what each does to a state, and what it is in C."""

import dataclasses

from truth import EMPTY, GONE, NOTHING, PAYLOAD, Fault

BYTES = 64  # the size of every buffer


@dataclasses.dataclass(frozen=True)
class Variable:
    name: str  # as in C: "b0", "s.one", "h->kept"
    kind: str  # "buf", "ref", "vec", or "bytes": a pointer to the bytes
    owns: bool = True  # False: a copy for a while, which the program's end does not free
    outlives: bool = False  # it is in a struct of the caller


# What frees a variable of each kind, and what says something of it.
FREE = {"buf": "kula_free", "ref": "kula_drop", "vec": "kula_vec_free"}


class Statement:
    """`index` is the variable that it is about; `program` gives the variables their names."""

    def __init__(self, program, index=None):
        self.program = program
        self.index = index

    @property
    def name(self):
        return self.program.variables[self.index].name

    @property
    def kind(self):
        return self.program.variables[self.index].kind

    def run(self, run, states, _breaks):
        return run.each(states, self.step)

    def step(self, state):
        raise NotImplementedError

    def lines(self):
        raise NotImplementedError


# ---- Beginnings ------------------------------------------------------------------------------


class Obtain(Statement):
    """The variable gets a new object, or nothing; with a guard the program ends then."""

    def __init__(self, program, index, call, guarded=True, sources=()):
        super().__init__(program, index)
        self.call = call
        self.guarded = guarded
        self.sources = sources  # variables that have to be live, and stay so

    def run(self, run, states, _breaks):
        got = run.each(states, lambda state: [self.checked(state).new(self.index)])
        nothing = run.each(states, lambda state: [self.checked(state).put(self.index, NOTHING)])
        if self.guarded:
            run.exits |= nothing
            return got
        return got | nothing

    def checked(self, state):
        for source in self.sources:
            state.require(source)
        return state

    def lines(self):
        assign = f"{self.name} = {self.call};"
        if not self.guarded:
            return [assign]
        return [assign, f"if (!{self.name}) {{", *self.program.leave(), "}"]


class Freeze(Statement):
    """A buffer becomes a reference; this cannot fail."""

    def __init__(self, program, index, source):
        super().__init__(program, index)
        self.source = source

    def step(self, state):
        return [state.end(self.source).put(self.source, EMPTY).new(self.index)]

    def lines(self):
        return [f"{self.name} = kula_freeze(&{self.program.variables[self.source].name});"]


class Thaw(Statement):
    """A reference becomes a buffer, or stays what it is."""

    def __init__(self, program, index, source):
        super().__init__(program, index)
        self.source = source

    def step(self, state):
        state.require(self.source)
        return [
            state.end(self.source).put(self.source, EMPTY).new(self.index),
            state.put(self.index, NOTHING),
        ]

    def lines(self):
        return [f"{self.name} = kula_thaw(&{self.program.variables[self.source].name});"]


# ---- Ends ------------------------------------------------------------------------------------


class HandOver(Statement):
    """The ring, or a vec, takes what the variable holds and empties it."""

    def __init__(self, program, index, call, others=()):
        super().__init__(program, index)
        self.call = call
        self.others = others  # variables that have to be live

    def step(self, state):
        for other in self.others:
            state.require(other)
        return [state.end(self.index).put(self.index, EMPTY)]

    def lines(self):
        return [f"{self.call.format(self.name)};"]


class Release(Statement):
    """kula_free and its like: an empty variable is fine."""

    def step(self, state):
        if not state.holds(self.index):
            return [state.put(self.index, EMPTY)]
        return [state.end(self.index).put(self.index, EMPTY)]

    def lines(self):
        return [f"{FREE[self.kind]}(&{self.name});"]


class PassOn(Statement):
    """A function of the program takes the buffer by value; the caller empties its variable, or
    forgets to."""

    def __init__(self, program, index, empties=True):
        super().__init__(program, index)
        self.empties = empties

    def step(self, state):
        ended = state.end(self.index)
        return [ended.put(self.index, EMPTY) if self.empties else ended]

    def lines(self):
        call = f"{self.program.helper('pass_on')}(ring, fd, {self.name});"
        return [call, f"{self.name} = NULL;"] if self.empties else [call]


class MaybePassOn(Statement):
    """A function of the program hands the buffer over when it is told to."""

    def __init__(self, program, index, parameter):
        super().__init__(program, index)
        self.parameter = parameter

    def step(self, state):
        result = []
        for value, known in look(state, self.parameter):
            if value:
                result.append(known.end(self.index).put(self.index, EMPTY))
            else:
                result.append(known)
        return result

    def lines(self):
        helper = self.program.helper("maybe_pass_on")
        return [f"{helper}(ring, fd, &{self.name}, p{self.parameter});"]


class Join(Statement):
    """The second part goes into the first, or stays what it is."""

    def __init__(self, program, index, second):
        super().__init__(program, index)
        self.second = second

    def step(self, state):
        state.require(self.index)
        state.require(self.second)
        if state.values[self.index] == state.values[self.second]:
            return [state]
        return [state, state.end(self.second).put(self.second, EMPTY)]

    def lines(self):
        return [f"sum += kula_join({self.name}, &{self.program.variables[self.second].name});"]


# ---- Between -------------------------------------------------------------------------------


class Use(Statement):
    """Something that needs a live handle and leaves it where it is."""

    def __init__(self, program, index, expression):
        super().__init__(program, index)
        self.expression = expression

    def step(self, state):
        state.require(self.index)
        return [state]

    def lines(self):
        return [f"{self.expression.format(self.name)};"]


class Copy(Statement):
    """One variable gets what another one holds; a move empties that one."""

    def __init__(self, program, index, source, moves):
        super().__init__(program, index)
        self.source = source
        self.moves = moves

    def step(self, state):
        copied = state.put(self.index, state.values[self.source])
        return [copied.put(self.source, EMPTY) if self.moves else copied]

    def lines(self):
        source = self.program.variables[self.source].name
        lines = [f"{self.name} = {source};"]
        return [*lines, f"{source} = NULL;"] if self.moves else lines


class Swap(Statement):
    def __init__(self, program, index, other):
        super().__init__(program, index)
        self.other = other

    def step(self, state):
        mine, others = state.values[self.index], state.values[self.other]
        return [state.put(self.index, others).put(self.other, mine)]

    def lines(self):
        other = self.program.variables[self.other].name
        return [
            "{",
            f"    kula_buf held = {self.name};",
            f"    {self.name} = {other};",
            f"    {other} = held;",
            "}",
        ]


class Forget(Statement):
    """The variable is emptied; what it held is somewhere else, or lost."""

    def step(self, state):
        return [state.put(self.index, EMPTY)]

    def lines(self):
        return [f"{self.name} = NULL;"]


class Point(Statement):
    """A pointer to the bytes is kept."""

    def __init__(self, program, index, source):
        super().__init__(program, index)
        self.source = source

    def step(self, state):
        state.require(self.source)
        return [state.put(self.index, state.values[self.source])]

    def lines(self):
        return [f"{self.name} = kula_bytes({self.program.variables[self.source].name});"]


class UseBytes(Statement):
    """The pointer is used, if it was set."""

    def __init__(self, program, index, expression):
        super().__init__(program, index)
        self.expression = expression

    def step(self, state):
        if state.of(self.index) == GONE:
            raise Fault(PAYLOAD)
        return [state]

    def lines(self):
        return [f"if ({self.name}) {{", f"    {self.expression.format(self.name)};", "}"]


# ---- Ways ------------------------------------------------------------------------------------


def look(state, parameter):
    """The values that a parameter may have in a state, with the states in which it has them."""
    known = state.inputs[parameter]
    for value in (False, True) if known is None else (known,):
        yield value, state.told(parameter, value)


@dataclasses.dataclass(frozen=True)
class Condition:
    """`what` is a parameter's number, a variable's index or None: a function is asked."""

    kind: str  # "parameter", "variable", "ask"
    what: int = 0
    negated: bool = False

    def sides(self, state):
        """(holds, state) for every outcome."""
        if self.kind == "parameter":
            outcomes = look(state, self.what)
        elif self.kind == "variable":
            outcomes = [(state.holds(self.what), state)]
        else:
            outcomes = [(False, state), (True, state)]
        return [(value != self.negated, after) for value, after in outcomes]

    def text(self, program):
        mark = "!" if self.negated else ""
        if self.kind == "parameter":
            return f"{mark}p{self.what}"
        if self.kind == "variable":
            return f"{mark}{program.variables[self.what].name}"
        return f"{mark}ask(ring)"

    def split(self, states):
        sides = [side for state in states for side in self.sides(state)]
        return {s for holds, s in sides if holds}, {s for holds, s in sides if not holds}


def indented(statements):
    return [f"    {line}" for statement in statements for line in statement.lines()]


class If(Statement):
    def __init__(self, program, condition, then, otherwise):
        super().__init__(program)
        self.condition = condition
        self.then = then
        self.otherwise = otherwise

    def blocks(self):
        return [self.then, self.otherwise]

    def run(self, run, states, breaks):
        yes, no = self.condition.split(states)
        return run.block(self.then, yes, breaks) | run.block(self.otherwise, no, breaks)

    def lines(self):
        lines = [f"if ({self.condition.text(self.program)}) {{", *indented(self.then)]
        if self.otherwise:
            lines += ["} else {", *indented(self.otherwise)]
        return [*lines, "}"]


class Loop(Statement):
    """A fixed number of rounds, or as many as a function that is asked wants."""

    def __init__(self, program, rounds, body):
        super().__init__(program)
        self.rounds = rounds
        self.body = body

    def blocks(self):
        return [self.body]

    def run(self, run, states, _breaks):
        broken = set()
        if self.rounds:
            for _ in range(self.rounds):
                states = run.block(self.body, states, broken)
            return states | broken
        seen = set(states)
        while states:
            states = run.block(self.body, states, broken) - seen
            seen |= states
        return seen | broken

    def lines(self):
        head = "while (ask(ring)) {"
        if self.rounds:
            head = f"for (int i = 0; i < {self.rounds}; i++) {{"
        return [head, *indented(self.body), "}"]


class Break(Statement):
    """Only in a loop: it goes on after it."""

    def run(self, run, states, breaks):
        breaks |= states
        return set()

    def lines(self):
        return ["break;"]


class Leave(Statement):
    """The program's end is next."""

    def run(self, run, states, _breaks):
        run.exits |= states
        return set()

    def lines(self):
        return [line[4:] for line in self.program.leave()]
