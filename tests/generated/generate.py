"""Random programs: correct ones by construction, and wrong ones by changing those."""

import copy
import itertools
import re

from language import (
    BYTES,
    FREE,
    Break,
    Condition,
    Copy,
    Forget,
    Freeze,
    HandOver,
    If,
    Join,
    Leave,
    Loop,
    MaybePassOn,
    Obtain,
    PassOn,
    Point,
    Release,
    Swap,
    Thaw,
    Use,
    UseBytes,
    Variable,
)
from truth import LEAK, OWNED, PAYLOAD, TRANSFER, Run, State, faults

PARAMETERS = 3
DEPTH_MAX = 2

HELPERS = {
    "pass_on": """static void {name}(struct kula_ring *ring, int fd, kula_buf buffer)
{{
    kula_write(ring, fd, &buffer, 8, 0, NULL);
}}
""",
    "maybe_pass_on": """static void {name}(struct kula_ring *ring, int fd, kula_buf *buffer, int now)
{{
    if (now) {{
        kula_send(ring, fd, buffer, 8, 0, NULL);
    }}
}}
""",
    "obtain": """static kula_buf {name}(struct kula_ring *ring)
{{
    kula_buf buffer = kula_alloc(ring, 64);
    return buffer;
}}
""",
    "peek": """static int {name}(kula_buf buffer)
{{
    return kula_bytes(buffer)[2];
}}
""",
}

# What a file of programs begins with.
PREFIX = """#include <kula.h>

struct pair {
    kula_buf one;
    kula_buf two;
};

struct holder {
    int fd;
    kula_buf kept;
};

int ask(struct kula_ring *ring);

"""

HAND_OVER = {
    "buf": [
        "kula_read(ring, fd, &{}, 64, 0, NULL)",
        "kula_write(ring, fd, &{}, 8, KULA_CUR, {user})",
        "kula_recv(ring, fd, &{}, 64, 0, {user})",
        "kula_send(ring, h->fd, &{}, 8, 0, {user})",
        "kula_post(ring, &{}, 1, NULL)",
    ],
    "ref": [
        "kula_write(ring, fd, &{}, 8, 0, {user})",
        "kula_send(ring, fd, &{}, 8, 0, NULL)",
        "kula_post(ring, &{}, 1, {user})",
    ],
    "vec": [
        "kula_readv(ring, fd, &{}, KULA_CUR, {user})",
        "kula_writev(ring, fd, &{}, 0, NULL)",
    ],
}
USE = {
    "buf": [
        "sum += kula_bytes({})[0]",
        "kula_bytes({})[1] = 7",
        "sum += (int)kula_capacity({})",
        "sum += kula_window({}, 4)",
    ],
    "ref": ["sum += kula_ref_bytes({})[0]", "sum += (int)kula_ref_size({})"],
    "vec": ["sum += (int)kula_vec_count({})"],
}
USE_BYTES = ["sum += {}[3]", "{}[3] = 1"]


class Program:
    """`outliving`: a buffer may be left in a struct of the caller's. The analyser takes it then that
    somebody will free it, and that whoever is given the struct may change it."""

    def __init__(self, number, random, outliving):
        self.number = number
        self.leaves_by_goto = random.random() < 0.5
        names = [Variable(f"b{i}", "buf") for i in range(random.randint(2, 3))]
        names += [Variable(f"copy{i}", "buf", owns=False) for i in range(random.randint(0, 1))]
        names += [Variable(f"s.{field}", "buf") for field in ("one", "two")[: random.randint(0, 2)]]
        if outliving and random.random() < 0.4:
            names.append(Variable("h->kept", "buf", outlives=True))
        names += [Variable(f"r{i}", "ref") for i in range(random.choice((0, 0, 1, 2)))]
        names += [Variable("v0", "vec")] * (random.random() < 0.25)
        names += [Variable("bytes", "bytes", owns=False)] * (random.random() < 0.5)
        self.variables = names
        self.user = "NULL" if self.outliving() else "h"
        self.body = []
        self.ending = [
            Release(self, index)
            for index, variable in enumerate(names)
            if variable.owns and not variable.outlives
        ]

    @property
    def name(self):
        return f"program_{self.number}"

    def helper(self, what):
        return f"{what}_{self.number}"

    def indexes(self, kind, owns=None):
        return [
            index
            for index, variable in enumerate(self.variables)
            if variable.kind == kind and owns in (None, variable.owns)
        ]

    def outliving(self):
        return [index for index, variable in enumerate(self.variables) if variable.outlives]

    def start(self):
        """All is empty but what the caller may hold, which the program clears up first."""
        return State((0,) * len(self.variables), (), (None,) * PARAMETERS)

    def leave(self):
        if self.leaves_by_goto:
            return ["    goto out;"]
        return [*self.end_lines(), "    return sum;"]

    def end_lines(self):
        return [f"    {line}" for statement in self.ending for line in statement.lines()]

    def text(self):
        parameters = ", ".join(f"int p{i}" for i in range(PARAMETERS))
        signature = (
            f"int {self.name}(struct kula_ring *ring, int fd, struct kula_event *event,\n"
            f"    struct holder *h, {parameters})"
        )
        types = {"buf": "kula_buf ", "ref": "kula_ref ", "vec": "kula_vec ", "bytes": "unsigned char *"}
        lines = [f"    {types[v.kind]}{v.name} = NULL;" for v in self.variables if v.name.isalnum()]
        if any(variable.name.startswith("s.") for variable in self.variables):
            lines.append("    struct pair s = { NULL, NULL };")
        lines.append("    int sum = 0;")
        lines += [f"    {v.name} = NULL;" for v in self.variables if v.outlives]
        lines += [f"    {line}" for statement in self.body for line in statement.lines()]
        if any("goto out;" in line for line in lines):
            lines.append("out:")
        lines += [*self.end_lines(), "    return sum;"]
        helpers = "".join(
            text.format(name=self.helper(what))
            for what, text in HELPERS.items()
            if any(re.search(rf"\b{self.helper(what)}\(", line) for line in lines)
        )
        unused = "    (void)event;\n    (void)h;\n" + "".join(
            f"    (void)p{i};\n" for i in range(PARAMETERS)
        )
        return f"{helpers}{signature};\n{signature}\n{{\n{unused}" + "\n".join(lines) + "\n}\n"


class Generator:
    def __init__(self, random):
        self.random = random
        self.numbers = itertools.count()

    # ---- One statement ---------------------------------------------------------------------

    def obtain(self, program):
        random = self.random
        index = random.choice(program.indexes("buf", owns=True))
        call = random.choice(["alloc", "alloc", "take", "take", "helper", "split"])
        if call == "split":
            source = random.choice(program.indexes("buf"))
            name = program.variables[source].name
            return Obtain(program, index, f"kula_split({name}, 4)", random.random() < 0.5, [source])
        if call == "take":
            return Obtain(program, index, "kula_take(event)", random.random() < 0.5)
        text = f"kula_alloc(ring, {BYTES})"
        if call == "helper":
            text = f"{program.helper('obtain')}(ring)"
        return Obtain(program, index, text)

    def references(self, program):
        random = self.random
        refs = program.indexes("ref")
        buffer = random.choice(program.indexes("buf", owns=True))
        if not refs:
            return None
        index = random.choice(refs)
        what = random.choice(["freeze", "freeze", "thaw", "clone", "slice", "take"])
        if what == "freeze":
            return Freeze(program, index, buffer)
        if what == "thaw":
            return Thaw(program, buffer, index)
        guarded = random.random() < 0.5
        if what == "take":
            return Obtain(program, index, "kula_take_ref(event)", guarded)
        source = random.choice(refs)
        name = program.variables[source].name
        call = f"kula_clone({name})" if what == "clone" else f"kula_slice({name}, 0, 8)"
        return Obtain(program, index, call, guarded, [source])

    def vectors(self, program):
        random = self.random
        vecs = program.indexes("vec")
        if not vecs:
            return None
        if random.random() < 0.4:
            return Obtain(program, vecs[0], "kula_vec_new(ring)")
        kind = random.choice(["buf", "ref"])
        parts = program.indexes(kind)
        if not parts:
            return None
        return HandOver(
            program,
            random.choice(parts),
            f"kula_vec_add({program.variables[vecs[0]].name}, &{{}}, 8)",
            [vecs[0]],
        )

    def hand_over(self, program):
        random = self.random
        choices = [i for kind in HAND_OVER for i in program.indexes(kind)]
        index = random.choice(choices)
        kind = program.variables[index].kind
        if kind == "buf":
            what = random.random()
            if what < 0.15:
                return PassOn(program, index)
            if what < 0.3:
                return MaybePassOn(program, index, random.randrange(PARAMETERS))
        call = random.choice(HAND_OVER[kind])
        return HandOver(program, index, call.format("{}", user=program.user))

    def release(self, program):
        choices = [i for kind in FREE for i in program.indexes(kind)]
        return Release(program, self.random.choice(choices))

    def use(self, program):
        random = self.random
        index = random.choice([i for kind in USE for i in program.indexes(kind)])
        kind = program.variables[index].kind
        if kind == "buf" and random.random() < 0.15:
            return Use(program, index, f"sum += {program.helper('peek')}({{}})")
        return Use(program, index, random.choice(USE[kind]))

    def rearrange(self, program):
        random = self.random
        buffers = program.indexes("buf")
        index, other = random.sample(buffers, 2)
        what = random.choice(["move", "move", "copy", "copy", "swap", "join", "forget"])
        if what == "swap":
            return Swap(program, index, other)
        if what == "join":
            return Join(program, index, other)
        if what == "forget":
            return Forget(program, index)
        return Copy(program, index, other, what == "move")

    def point(self, program):
        random = self.random
        pointers = program.indexes("bytes")
        if not pointers:
            return None
        if random.random() < 0.4:
            return Point(program, pointers[0], random.choice(program.indexes("buf")))
        return UseBytes(program, pointers[0], random.choice(USE_BYTES))

    def condition(self, program):
        random = self.random
        negated = random.random() < 0.3
        what = random.random()
        if what < 0.5:
            return Condition("parameter", random.randrange(PARAMETERS), negated)
        if what < 0.75:
            return Condition("variable", random.choice(program.indexes("buf", owns=True)), negated)
        return Condition("ask", 0, negated)

    def simple(self, program):
        make = self.random.choices(
            [
                self.obtain,
                self.use,
                self.hand_over,
                self.release,
                self.rearrange,
                self.references,
                self.vectors,
                self.point,
            ],
            [5, 5, 5, 1, 3, 3, 2, 3],
        )[0]
        return make(program)

    # ---- A correct program -----------------------------------------------------------------

    @staticmethod
    def sound(program, states):
        """Each object is in one variable that owns: then the program's end clears up everything."""
        for state in states:
            owning = [
                state.values[index]
                for index, variable in enumerate(program.variables)
                if variable.owns and state.of(index) is not None
            ]
            owned = state.objects.count(OWNED)
            live = [n for n in owning if state.objects[n - 1] == OWNED]
            if state.leaked or len(live) != owned or len(set(owning)) != len(owning):
                return False
            if any(state.objects[n - 1] != OWNED for n in owning):
                return False
        return True

    def fits(self, program, statement, states, in_loop):
        """The states after a statement that is right in these states; None if it is not."""
        run, breaks = Run(), set()
        after = statement.run(run, states, breaks if in_loop else None)
        if run.faults or not self.sound(program, after | run.exits | breaks):
            return None
        return after, breaks

    @staticmethod
    def matters(statement, states):
        """Whether there is anything for it to do, on each of its ways. A way that is never gone is code
        that nobody writes; and compilers warn of what stands there, if they cannot see that."""
        if isinstance(statement, If):
            return all(statement.condition.split(states))
        if isinstance(statement, MaybePassOn):
            return all(Condition("parameter", statement.parameter).split(states))
        if isinstance(statement, (Copy, Swap)):
            index = statement.source if isinstance(statement, Copy) else statement.other
            return any(state.holds(index) for state in states)
        if isinstance(statement, (Release, Forget, UseBytes)):
            return any(state.holds(statement.index) for state in states)
        return True

    def block(self, program, states, length, depth, in_loop):
        """Statements that are right in these states, the states after them, and at its breaks."""
        statements, broken = [], set()
        for _ in range(length):
            for _ in range(30):
                if not states:
                    break
                statement = self.statement(program, states, depth, in_loop, bool(statements))
                if not statement or not self.matters(statement, states):
                    continue
                fitting = self.fits(program, statement, states, in_loop)
                if fitting:
                    states, breaks = fitting
                    broken |= breaks
                    statements.append(statement)
                    break
        return statements, states, broken

    def statement(self, program, states, depth, in_loop, may_leave):
        what = self.random.random()
        if depth < DEPTH_MAX and what < 0.2:
            return self.branch(program, states, depth, in_loop)
        if depth < DEPTH_MAX and what < 0.28:
            return self.loop(program, states, depth)
        if depth > 0 and may_leave and what < 0.36:
            return Leave(program) if not in_loop or self.random.random() < 0.5 else Break(program)
        return self.simple(program)

    def branch(self, program, states, depth, in_loop):
        condition = self.condition(program)
        yes, no = condition.split(states)
        if not yes or not no:
            return None
        length = self.random.randint
        then, _, _ = self.block(program, yes, length(1, 3), depth + 1, in_loop)
        otherwise = []
        if self.random.random() < 0.4:
            otherwise, _, _ = self.block(program, no, length(1, 3), depth + 1, in_loop)
        return If(program, condition, then, otherwise) if then else None

    def loop(self, program, states, depth):
        body, _, _ = self.block(program, states, self.random.randint(2, 4), depth + 1, True)
        rounds = self.random.choice([None, None, 2, 3])
        return Loop(program, rounds, body) if body else None

    def correct(self, outliving=True):
        while True:
            program = Program(next(self.numbers), self.random, outliving)
            length = self.random.randint(4, 8)
            program.body, _, _ = self.block(program, {program.start()}, length, 0, False)
            if len(program.body) >= 4 and not faults(program):
                return program

    # ---- A wrong one -----------------------------------------------------------------------

    def blocks(self, program):
        found = [program.body]
        for block in found:
            for statement in block:
                found += statement.blocks() if isinstance(statement, (If, Loop)) else []
        return found

    def change(self, program, kind):
        """One mistake: something is left out, done twice, done too early or put in."""
        random = self.random
        what = random.choice(["out", "out", "twice", "swap", "in", "in", "in", "end", "keep"])
        if what == "end":
            program.ending.pop(random.randrange(len(program.ending)))
            return
        block = random.choice(self.blocks(program))
        place = random.randrange(len(block) + 1)
        if what == "in":
            statement = self.point(program) if kind == PAYLOAD else self.simple(program)
            if statement:
                block.insert(place, statement)
        elif place < len(block):
            if what == "out":
                block.pop(place)
            elif what == "twice" and not isinstance(block[place], (Leave, Break)):
                block.insert(place, copy.copy(block[place]))
            elif what == "swap" and place + 1 < len(block):
                block[place], block[place + 1] = block[place + 1], block[place]
            elif isinstance(block[place], PassOn):
                block[place].empties = False

    def wrong(self, kind):
        """A program with a fault of this kind; one without a transfer fault has no other kind."""
        while True:
            program = self.correct(outliving=kind != LEAK)
            points = any(isinstance(s, Point) for block in self.blocks(program) for s in block)
            if kind == PAYLOAD and not points:
                continue
            for _ in range(20):
                changed = copy.deepcopy(program)
                self.change(changed, kind)
                found = faults(changed)
                if kind in found and (kind == TRANSFER or found == {kind}):
                    return changed
