"""Text: programs in both languages print as lines that say all there is to say, or how much not."""

import math
import re

import numpy as np
import pytest
from agreement import arrays
from hypothesis import given, settings
from stages import rolled, scheduled, values
from strategies import programs

from liftgrad import Value, ops
from liftgrad.functional import exp, take, total
from liftgrad.lift.ir import affine
from liftgrad.lift.ir.groups import (
    Builder,
    Constants,
    Elementwise,
    Largest,
    Leaf,
    Put,
    Runs,
    Sum,
    Take,
    View,
)
from liftgrad.lift.ir.nests import Access, Buffer, Load, Nest, Number, Program, Reduce
from liftgrad.lift.ir.text import text_of_groups, text_of_nest, text_of_nests


def view(group, positions):
    return View(group, np.array(positions, np.int64))


def last(*groups):
    """The line of the last of some groups, which follow a parameter of 100 and an index of 20."""
    builder = Builder()
    for group in (Leaf("p", 100, "parameter"), Leaf("k", 20, "index"), *groups):
        builder.add(group)
    return text_of_groups(builder.program()).splitlines()[-2]


def negated(positions):
    return Elementwise(ops.negate, (view(0, positions),), batched=False)


@pytest.mark.parametrize(
    ("positions", "printed"),
    [
        ([3, 1, 2], "t2[3] = negate(p[3 1 2])"),
        (range(5, 55), "t2[i<50] = negate(p[i+5])"),
        (range(0, 100, 2), "t2[i<50] = negate(p[2i])"),
        (range(20, 0, -1), "t2[i<20] = negate(p[20-i])"),
        ([7] * 12, "t2[i<12] = negate(p[7])"),
        ([j for _ in range(3) for j in range(5)], "t2[i<3, j<5] = negate(p[j])"),
        ([10 * i + j for i in range(3) for j in range(5)], "t2[i<3, j<5] = negate(p[10i+j])"),
        ([*range(40), *range(60, 70)], "t2[i<50] = negate(p[0..39 60..69])"),
        (
            [i * i for i in range(10)],
            "t2[i<10] = negate(p[0..1 4 9 16 25 36 49 64 …])",
        ),
    ],
)
def test_an_index_sequence_is_written_out_or_as_loops(positions, printed):
    """Up to eight positions are; more are a function of loops, or ranges, or the first of them."""
    assert last(negated(positions)) == printed


def runs(positions, offsets):
    return Runs(0, np.array(positions, np.int64), np.array(offsets, np.int64))


@pytest.mark.parametrize(
    ("operand", "printed"),
    [
        (runs([0, 1, 2, 5, 6, 7], [0, 3, 6]), "t2[2] = sum(p[0 1 2 | 5 6 7])"),
        (runs(range(100), [0, 50, 100]), "t2[2] = sum(p[0..49 | 50..99])"),
        (runs(range(0, 100, 2), [0, 50]), "t2[1] = sum(p[2k, k<50])"),
        (runs(range(100), range(0, 101, 5)), "t2[i<20] = sum(p[5i+k, k<5])"),
        (runs(range(20), range(21)), "t2[i<20] = sum(p[i])"),
        (
            runs([0, 1, 2, 3, 4, 5], [0, 1, 3, 6, *[6] * 8]),
            "t2[i<11] = sum(p[0: 0 | 1: 1 2 | 2: 3 4 5])",
        ),
        (
            runs(range(13), [0, 1, 3, 4, 6, 7, 9, 10, 12, 13]),
            "t2[i<9] = sum(p[0 | 1 2 | 3 | 4 5 | 6 | 7 8 | 9 | 10 11 | …])",
        ),
    ],
)
def test_runs_are_written_out_or_as_loops_with_one_more_inside(operand, printed):
    """Of many runs that are mostly empty, those that are not have their element's number."""
    assert last(Sum((operand,), batched=False)) == printed
    largest = printed.replace("sum", "max")
    assert last(Largest((operand,), batched=False)) == largest


def test_reads_and_writes_at_run_time_indices():
    """A take has a row of candidates for each element, a put one for each number that it adds."""
    table = np.arange(100).reshape(20, 5)
    chosen = view(1, range(20))
    assert last(Take(chosen, 0, table, batched=False)) == ("t2[i<20] = take(p[5i+k, k<5] at k[i])")
    assert last(Put(view(0, range(20)), chosen, table, 100, batched=False)) == (
        "t2[100] = put(p[i] into [5i+k, k<5] at k[i], i<20)"
    )
    few = Put(view(0, [3, 4]), view(1, [0, 0]), table[:2, :2], 7, batched=False)
    assert last(few) == "t2[7] = put(p[3 4] into [0 1 | 5 6] at k[0 0])"


def test_constants_and_exponents_are_exact():
    """As many digits as it takes to read the same number again."""
    assert last(Constants(np.array([0.1, 1.0, -0.0, np.inf, np.nan, 1e-300]))) == (
        "c2[6] = 0.1 1 -0 inf nan 1e-300"
    )
    assert last(Constants(np.arange(9.0))) == "c2[9] = 0 1 2 3 4 5 6 7 …"
    cube = ops.power_constant(3.0)
    assert last(Elementwise(cube, (view(0, [0]),), batched=False)) == (
        "t2[1] = power_constant(p[0], 3)"
    )


def test_leaves_of_one_name_are_told_apart():
    """Such as an optimiser's state for several groups of parameters."""
    builder = Builder()
    builder.add(Leaf("momentum", 2, "parameter"))
    builder.add(Leaf("momentum", 2, "parameter"))
    assert text_of_groups(builder.program()).splitlines()[:2] == [
        "momentum_0 = parameter[2]",
        "momentum_1 = parameter[2]",
    ]


def test_groups_of_a_gradient_say_what_they_are():
    """An adjoint, a term of one, how often elements are used, and conditions of which one holds."""
    program = rolled(
        lambda p, k: take([exp(x) for x in p], k[0]), values(3), np.array([1]), gradient=True
    )
    notes = [line.split("  # ") for line in text_of_groups(program).splitlines()]
    assert [(note[0].split(" = ")[1], note[1]) for note in notes if len(note) > 1] == [
        ("put(c4[0] into [0 1 2] at k[0])", "∂t1"),
        ("put(c6[0] into [0 1 2] at k[0])", "uses of t1"),
        ("less(c8[0 0 0], t7[0 1 2])", "one of each row of [0 1 2] holds"),
        ("select(t9[0 1 2], t10[0 1 2], c11[0 0 0])", "∂p"),
    ]


def test_a_program_of_nests_begins_with_its_memory():
    """Buffers with their sizes, whether each sample has its own, and how they are laid out."""
    buffers = (
        Buffer("p", 6, batched=False, role="leaf", group=0, layout=np.array([0, 2, 4, 1, 3, 5])),
        Buffer("k", 1, batched=True, role="index", group=1),
        Buffer("t2", 2, batched=True, role="temporary", group=2),
        Buffer("t3", 1, batched=False, role="temporary", group=3),
    )
    read = Access(0, 0, (3,), index=Access(1, 0, (0,)), step=1, extent=3)
    moved = Access(0, 0, (1,), table=0, index=Access(1, 0, (0,)), step=2, extent=2)
    nests = (
        Nest((2,), batched=True, out=Access(2, 0, (1,)), accumulate=False, body=Load(read)),
        Nest((1,), batched=False, out=Access(3, 0, (0,)), accumulate=False, body=Number(0.0)),
        Nest(
            (1,),
            batched=False,
            out=Access(3, 0, (0,)),
            accumulate=True,
            body=Reduce("sum", (2,), Load(Access(2, 0, (0, 1))), samples=True),
        ),
        Nest((2,), batched=True, out=Access(2, 1, (-1,)), accumulate=False, body=Load(moved)),
    )
    program = Program(buffers, (np.array([5, 4, 3, 2]),), nests, frozenset({2, 3}))
    assert text_of_nests(program).splitlines() == [
        "p = leaf[6] laid out as 0 2 4 1 3 5",
        "k = index[1, samples]",
        "t2 = temporary[2, samples]",
        "t3 = temporary[1]",
        "table0 = 5 4 3 2",
        "for i<2, samples: t2[i] = p[3i+k[0] of 3]",
        "t3[0] = 0",
        "t3[0] += sum[k<2, samples](t2[k])",
        "for i<2, samples: t2[1-i] = p[table0[i+2·k[0] of 2]]",
        "return t2, t3",
    ]


def test_a_program_prints_the_same_each_time():
    def loss(p, X):
        return total([sum(w * u for w, u in zip(p, x, strict=True)) for x in X])

    texts = {text_of_groups(rolled(loss, values(5), np.ones((9, 5)), gradient=True)) for _ in "ab"}
    assert len(texts) == 1


# --- what is printed is what is there --------------------------------------------------------

LOOP = re.compile(r"([a-z])<(\d+)")


def positions_of(place, loops):
    """The positions that an affine text means, over loops of these letters and extents."""
    extents = [int(extent) for _, extent in loops]
    grids = np.indices(extents).reshape(len(loops), math.prod(extents))
    indices = dict(zip([letter for letter, _ in loops], grids, strict=True))
    expression = re.sub(r"(\d)([a-z])", r"\1*\2", place)
    return np.broadcast_to(eval(expression, {}, indices), math.prod(extents))  # our own text


@pytest.mark.thorough
@settings(max_examples=30)
@given(programs())
def test_loops_and_places_of_any_program_mean_what_they_say(program):
    """Read again, the text of an access gives the positions of the access."""

    def function(p, x, c, k, X, K):
        return program.function()(p, x, c, k, X, K)

    arguments = (program.parameters(Value), *arrays(program))
    groups = text_of_groups(rolled(function, *arguments, gradient=True))
    nests = scheduled(function, *arguments, gradient=True, loops=False)
    assert "None" not in groups
    assert len(text_of_nests(nests).splitlines()) == (
        len(nests.buffers) + len(nests.tables) + len(nests.nests) + 1
    )
    for nest in nests.nests:
        line = text_of_nest(nest, nests)
        head, rest = line.split(": ", 1) if line.startswith("for ") else ("", line)
        if nest.out.index is None and nest.out.table is None:
            place = rest[rest.index("[") + 1 : rest.index("]")]
            expected = nest.out.offset + affine.linear(nest.out.strides, nest.extents)
            assert positions_of(place, LOOP.findall(head)).tolist() == expected.tolist()
