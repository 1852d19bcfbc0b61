"""Check: a program that breaks an invariant is refused, with the group or nest and what is wrong.

One program in each language keeps all invariants; each case plants one defect in it.
"""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from liftgrad import ops
from liftgrad.lift.ir.check import InvalidProgramError, check_groups, check_nests
from liftgrad.lift.ir.groups import (
    Assignment,
    Constants,
    Elementwise,
    Largest,
    Leaf,
    Put,
    Rolled,
    Runs,
    Sum,
    Take,
    View,
)
from liftgrad.lift.ir.nests import Access, Apply, Buffer, Load, Nest, Number, Program, Reduce


def view(group, *positions):
    return View(group, np.array(positions, np.int64))


def runs(group, positions, offsets):
    return Runs(group, np.array(positions, np.int64), np.array(offsets, np.int64))


ROWS = np.array([[0, 1, 2], [0, 1, 2]])
GROUPS = Rolled(
    groups=(
        Leaf("p", 3, "parameter"),
        Leaf("k", 2, "index"),
        Leaf("x", 2, "input", batched=True),
        Constants(np.array([1.0, 2.0])),
        Elementwise(ops.multiply, (view(0, 0, 1, 2), view(3, 0, 1, 0)), batched=False),
        Elementwise(ops.less, (view(4, 0, 1, 2), view(3, 0, 0, 0)), batched=False),
        Elementwise(ops.select, (view(5, 0), view(0, 0), view(3, 1)), batched=False),
        Sum((runs(4, [0, 1, 2], [0, 1, 3]), runs(2, [0], [0, 0, 1])), batched=False),
        Largest((runs(4, [0, 1, 2], [0, 1, 3]),), batched=False),
        Take(view(1, 0, 1), 0, ROWS, batched=False),
        Put(view(9, 0, 1), view(1, 0, 1), ROWS, 3, batched=False),
    ),
    outputs=(view(7, 0), view(8, 1)),
    roles={10: ("∂", 0)},
    tables={5: np.array([[0, 1, 2]])},
)


def with_group(number, group):
    groups = list(GROUPS.groups)
    groups[number] = group
    return replace(GROUPS, groups=tuple(groups))


def changed(number, **attributes):
    return with_group(number, replace(GROUPS.groups[number], **attributes))


BAD_GROUPS = {
    "an operand that is computed later": (
        changed(4, operands=(view(7, 0, 1, 1), view(3, 0, 1, 0))),
        "group 4 (multiply): operand 0: group 7 is not computed before",
    ),
    "an operand that is the group itself": (
        changed(7, operands=(runs(7, [0, 1], [0, 1, 2]),)),
        "group 7 (sum): operand 0: group 7 is not computed before",
    ),
    "a position beyond its group": (
        changed(4, operands=(view(0, 0, 1, 3), view(3, 0, 1, 0))),
        "group 4 (multiply): operand 0: position 3 in group 0, of 3 elements, is outside",
    ),
    "a negative position": (
        changed(7, operands=(runs(4, [0, -1], [0, 1, 2]),)),
        "group 7 (sum): operand 0: position -1 in group 4",
    ),
    "positions of another type": (
        changed(6, operands=(View(5, np.array([0], np.int32)), view(0, 0), view(3, 1))),
        "group 6 (select): operand 0: its positions are no sequence of int64",
    ),
    "positions in two dimensions": (
        changed(7, operands=(Runs(4, ROWS, np.array([0, 3, 6])),)),
        "its positions are no sequence of int64",
    ),
    "operands of different sizes": (
        changed(4, operands=(view(0, 0, 1, 2), view(3, 0, 1))),
        "group 4 (multiply): its operands have [3, 2] elements",
    ),
    "an operand too few": (changed(4, operands=(view(0, 0),)), "multiply takes 2 operands"),
    "no elements": (
        changed(4, operands=(view(0), view(3))),
        "group 4 (multiply): it has no elements",
    ),
    "a kind of leaf that does not exist": (changed(0, kind="weight"), "of unknown kind 'weight'"),
    "parameters for each sample": (changed(0, batched=True), "parameters are the same for all"),
    "constants for each sample": (changed(3, batched=True), "constants are the same for all"),
    "constants in another type": (
        with_group(3, Constants(np.array([1.0, 2.0], np.float32))),
        "its numbers are float32",
    ),
    "a condition as a number": (
        changed(7, operands=(runs(5, [0, 1], [0, 1, 2]),)),
        "group 7 (sum): an operand is a condition instead of a number",
    ),
    "a number as a condition": (
        changed(6, operands=(view(4, 0), view(0, 0), view(3, 1))),
        "operand 0 of select is a number instead of a condition",
    ),
    "an index as a number": (
        changed(4, operands=(view(1, 0, 1, 1), view(3, 0, 1, 0))),
        "operand 0 of multiply is an index instead of a number",
    ),
    "a number as an index": (
        changed(9, index=view(0, 0, 1)),
        "group 9 (take): its index is a number instead of an index",
    ),
    "offsets that do not begin at 0": (
        changed(7, operands=(runs(4, [0, 1, 2], [1, 2, 3]),)),
        "group 7 (sum): operand 0: its offsets are not from 0 to its 3 positions",
    ),
    "offsets that end before the positions": (
        changed(8, operands=(runs(4, [0, 1, 2], [0, 1, 2]),)),
        "group 8 (largest): operand 0: its offsets are not from 0 to its 3 positions",
    ),
    "offsets that fall": (
        changed(7, operands=(runs(4, [0, 1, 2], [0, 4, 3]),)),
        "group 7 (sum): operand 0: its offsets fall",
    ),
    "operands with different numbers of runs": (
        changed(7, operands=(runs(4, [0], [0, 1]), runs(2, [0], [0, 0, 1]))),
        "group 7 (sum): its operands have [1, 2] runs",
    ),
    "the largest of nothing": (
        changed(8, operands=(runs(4, [0, 1], [0, 2, 2]),)),
        "group 8 (largest): element 1 is the largest of no elements",
    ),
    "samples that nobody adds up": (
        changed(4, operands=(view(2, 0, 1, 1), view(3, 0, 1, 0))),
        "group 4 (multiply): an operand is batched, but it is not: only sums add up over samples",
    ),
    "the largest over samples": (
        changed(8, operands=(runs(2, [0, 1], [0, 1, 2]),)),
        "group 8 (largest): an operand is batched, but it is not",
    ),
    "a batch of nothing batched": (changed(4, batched=True), "it is batched, but none of its"),
    "a table with too few rows": (
        changed(9, table=ROWS[:1]),
        "group 9 (take): its index has 2 elements and its table 1 rows",
    ),
    "a table in one dimension": (
        changed(9, table=ROWS[0]),
        "group 9 (take): its table of shape (3,) is no matrix of int64",
    ),
    "a table that points outside": (
        changed(9, table=ROWS + 1),
        "group 9 (take): operand 1: position 3 in group 0, of 3 elements, is outside",
    ),
    "a put beyond its own end": (
        changed(10, size=2),
        "group 10 (put): position 2 in its table, of 2 elements, is outside",
    ),
    "a put with more numbers than rows": (
        changed(10, source=view(4, 0, 1, 2)),
        "group 10 (put): its source has 3 elements and its table 2 rows",
    ),
    "an output that no group computes": (
        replace(GROUPS, outputs=(view(11, 0),)),
        "output 0: group 11 is not computed before",
    ),
    "an output beyond its group": (
        replace(GROUPS, outputs=(view(7, 0), view(8, 2))),
        "output 1: position 2 in group 8, of 2 elements, is outside",
    ),
    "an output that is a condition": (
        replace(GROUPS, outputs=(view(5, 0),)),
        "output 0: it is a condition instead of a number",
    ),
    "the role of no group": (replace(GROUPS, roles={11: ("∂", 0)}), "there is no such group"),
    "a role that does not exist": (replace(GROUPS, roles={10: ("d", 0)}), "is 'd'"),
    "the adjoint of a group of another size": (
        replace(GROUPS, roles={10: ("∂", 1)}),
        "group 10 has the role '∂' of group 1, whose size is another",
    ),
    "a table of what is no condition": (
        replace(GROUPS, tables={4: ROWS}),
        "the table for group 4 belongs to no condition",
    ),
}


BAD_ENDINGS = {
    "an output that no group computes": (
        {"outputs": [view(11, 0)]},
        "output 2: group 11 is not computed before",
    ),
    "an assignment to what is computed": (
        {"assignments": [Assignment(4, np.arange(3), view(4, 0, 1, 2))]},
        "assignment 0, to group 4: it is a multiply and no parameter",
    ),
    "an assignment to an input": (
        {"assignments": [Assignment(2, np.arange(2), view(4, 0, 1))]},
        "assignment 0, to group 2: it is a leaf and no parameter",
    ),
    "an assignment beyond a leaf": (
        {"assignments": [Assignment(0, np.array([3]), view(4, 0))]},
        "assignment 0, to group 0: position 3 in group 0, of 3 elements, is outside",
    ),
    "an element that is assigned twice": (
        {"assignments": [Assignment(0, np.array([1, 1]), view(4, 0, 1))]},
        "assignment 0, to group 0: an element is assigned twice",
    ),
    "a value of another size": (
        {"assignments": [Assignment(0, np.arange(3), view(4, 0, 1))]},
        "assignment 0, to group 0: its value has 2 elements, and 3 are assigned",
    ),
    "a value that is a condition": (
        {"assignments": [Assignment(0, np.arange(1), view(5, 0))]},
        "assignment 0, to group 0: its value: it is a condition instead of a number",
    ),
    "a value for each sample": (
        {"assignments": [Assignment(0, np.arange(1), view(2, 0))]},
        "assignment 0, to group 0: its value is batched",
    ),
}


def test_a_sound_program_of_groups_passes():
    assignment = Assignment(0, np.arange(3), view(4, 2, 1, 0))
    check_groups(GROUPS, after="roll", outputs=[view(10, 0)], assignments=[assignment])


@pytest.mark.parametrize(("ending", "message"), BAD_ENDINGS.values(), ids=BAD_ENDINGS)
def test_a_defect_in_what_is_asked_for_is_named(ending, message):
    """Outputs and assignments are given to the scheduler beside the program."""
    with pytest.raises(InvalidProgramError) as caught:
        check_groups(GROUPS, after="update", **ending)
    assert message in str(caught.value)


@pytest.mark.parametrize(("program", "message"), BAD_GROUPS.values(), ids=BAD_GROUPS)
def test_a_defect_in_groups_is_named(program, message):
    """The message begins with the pass that is to blame."""
    with pytest.raises(InvalidProgramError) as caught:
        check_groups(program, after="roll")
    assert str(caught.value).startswith("after roll: ")
    assert message in str(caught.value)


# --- nests ---------------------------------------------------------------------------------------

P, K, X, C, T, S, G = range(7)
BUFFERS = (
    Buffer("p", 6, batched=False, role="leaf", group=0),
    Buffer("k", 2, batched=False, role="index", group=1),
    Buffer("x", 3, batched=True, role="leaf", group=2),
    Buffer("c3", 3, batched=False, role="constant", group=3),
    Buffer("t4", 2, batched=True, role="temporary", group=4),
    Buffer("t5", 2, batched=False, role="temporary", group=5, layout=np.array([1, 0])),
    Buffer("t6", 6, batched=False, role="temporary", group=6),
)
LAYER = Nest(
    (2,),
    batched=True,
    out=Access(T, 0, (1,)),
    accumulate=False,
    body=Reduce(
        "sum",
        (3,),
        Apply(ops.multiply, (Load(Access(P, 0, (3, 1))), Load(Access(X, 0, (0, 1))))),
    ),
)
ZERO = Nest((2,), batched=False, out=Access(S, 0, (1,)), accumulate=False, body=Number(0.0))
TOTAL = Nest(
    (2,),
    batched=False,
    out=Access(S, 0, (1,)),
    accumulate=True,
    body=Reduce("sum", (1,), Load(Access(T, 0, (1, 0))), samples=True),
)
CLEAR = Nest((6,), batched=False, out=Access(G, 0, (1,)), accumulate=False, body=Number(0.0))
SCATTER = Nest(
    (2,),
    batched=False,
    out=Access(G, 0, (3,), index=Access(K, 0, (1,)), step=1, extent=3),
    accumulate=True,
    body=Load(Access(S, 0, (1,), table=0)),
)
STEP = Nest(
    (6,),
    batched=False,
    out=Access(P, 0, (1,)),
    accumulate=False,
    body=Apply(ops.subtract, (Load(Access(P, 0, (1,))), Load(Access(G, 0, (1,))))),
)
NESTS = Program(
    BUFFERS, (np.array([1, 0]),), (LAYER, ZERO, TOTAL, CLEAR, SCATTER, STEP), frozenset({S})
)


def with_nest(number, nest):
    nests = list(NESTS.nests)
    nests[number] = nest
    return replace(NESTS, nests=tuple(nests))


def with_buffer(number, **attributes):
    buffers = list(BUFFERS)
    buffers[number] = replace(buffers[number], **attributes)
    return replace(NESTS, buffers=tuple(buffers))


def loading(**attributes):
    """The program whose first nest loads its parameters in another way."""
    load = replace(Access(P, 0, (3, 1)), **attributes)
    return with_nest(0, replace(LAYER, body=Reduce("sum", (3,), Load(load))))


BAD_NESTS = {
    "a read beyond a buffer": (
        loading(offset=1),
        "nest 0, which writes t4: position 6 in p, of 6 elements, is outside",
    ),
    "a read before a buffer": (loading(offset=-1), "position -1 in p"),
    "a write beyond a buffer": (
        with_nest(1, replace(ZERO, out=Access(S, 1, (1,)))),
        "nest 1, which writes t5: position 2 in t5, of 2 elements, is outside",
    ),
    "a stride too few": (loading(strides=(3,)), "p has 1 strides in 2 loops"),
    "a buffer that does not exist": (loading(buffer=9), "nest 0, which writes t4: buffer 9"),
    "a table that does not exist": (loading(table=1), "table 1 does not exist"),
    "a position beyond its table": (loading(table=0), "position 2 in table 0, of 2 elements"),
    "a table that points outside": (
        replace(NESTS, tables=(np.array([1, 2]),)),
        "nest 4, which writes t6: position 2 in t5, of 2 elements, is outside",
    ),
    "a table in another type": (
        replace(NESTS, tables=(np.array([1.0, 0.0]),)),
        "table 0 is no sequence of int64",
    ),
    "an index that may lead outside": (
        with_nest(4, replace(SCATTER, out=replace(SCATTER.out, extent=4))),
        "nest 4, which writes t6: position 6 in t6, of 6 elements, is outside",
    ),
    "an index without an extent": (
        with_nest(4, replace(SCATTER, out=replace(SCATTER.out, extent=0))),
        "the index into t6 has the extent 0",
    ),
    "an index of numbers": (
        with_nest(4, replace(SCATTER, out=replace(SCATTER.out, index=Access(C, 0, (1,))))),
        "the index c3 has no buffer of indices",
    ),
    "an index beyond its buffer": (
        with_nest(4, replace(SCATTER, out=replace(SCATTER.out, index=Access(K, 1, (1,))))),
        "position 2 in k, of 2 elements, is outside",
    ),
    "an index at an index": (
        with_nest(
            4,
            replace(
                SCATTER,
                out=replace(
                    SCATTER.out,
                    index=Access(K, 0, (0,), index=Access(K, 0, (1,)), step=1, extent=2),
                ),
            ),
        ),
        "the index k is itself read at a run-time index",
    ),
    "samples' indices where there is no loop over them": (
        replace(
            with_buffer(K, batched=True),
            nests=(*NESTS.nests[:4], replace(SCATTER, body=Load(SCATTER.out))),
        ),
        "nest 4, which writes t6: k has numbers for each sample, and no loop over samples",
    ),
    "a scatter of one number for all samples to where each sample says": (
        replace(with_buffer(K, batched=True), nests=NESTS.nests),
        "nest 4, which writes t6: k has numbers for each sample, and no loop over samples",
    ),
    "an extent of zero": (
        with_nest(1, replace(ZERO, extents=(0,))),
        "nest 1, which writes t5: its extents are (0,)",
    ),
    "an extent of zero in a reduction": (
        with_nest(0, replace(LAYER, body=replace(LAYER.body, extents=(0,)))),
        "a reduction's extents are (0,)",
    ),
    "a reduction in a reduction": (
        with_nest(0, replace(LAYER, body=Reduce("sum", (3,), Reduce("sum", (3,), Number(1.0))))),
        "a reduction is within another",
    ),
    "a reduction of unknown kind": (
        with_nest(0, replace(LAYER, body=replace(LAYER.body, kind="product"))),
        "a reduction of unknown kind 'product'",
    ),
    "indices as numbers": (
        with_nest(1, replace(ZERO, body=Load(Access(K, 0, (1,))))),
        "its body is an index instead of a number",
    ),
    "a condition as a number": (
        with_nest(1, replace(ZERO, body=Apply(ops.less, (Number(0.0), Number(1.0))))),
        "its body is a condition instead of a number",
    ),
    "a number as a condition": (
        with_nest(1, replace(ZERO, body=Apply(ops.select, (Number(0.0),) * 3))),
        "operand 0 of select is a number instead of a condition",
    ),
    "an operand too many": (
        with_nest(1, replace(ZERO, body=Apply(ops.exp, (Number(0.0),) * 2))),
        "exp takes 1 operands and has 2",
    ),
    "a read before the write": (
        replace(NESTS, nests=(ZERO, TOTAL, LAYER, CLEAR, SCATTER, STEP)),
        "nest 1, which writes t5: element 0 of t4 is read before it is written",
    ),
    "a read of what was written in part": (
        with_nest(1, replace(ZERO, extents=(1,))),
        "nest 2, which writes t5: it adds to element 1, which no nest has written before",
    ),
    "a sum that begins with nothing": (
        replace(NESTS, nests=(LAYER, TOTAL)),
        "nest 1, which writes t5: it adds to element 0, which no nest has written before",
    ),
    "a second write": (
        replace(NESTS, nests=(*NESTS.nests, ZERO)),
        "nest 6, which writes t5: it writes element 0, which a nest has written before",
    ),
    "rows that write the same element": (
        with_nest(1, replace(ZERO, out=Access(S, 0, (0,)))),
        "two of its rows write the same element",
    ),
    "rows that read what other rows write": (
        with_nest(5, replace(STEP, body=Load(Access(P, 5, (-1,))))),
        "nest 5, which writes p: element 5 of p is read by a row that writes another",
    ),
    "a scatter that does not accumulate": (
        with_nest(4, replace(SCATTER, accumulate=False)),
        "it writes at run-time indices, which may meet, without accumulating",
    ),
    "a write to constants": (
        with_nest(1, replace(ZERO, out=Access(C, 0, (1,)))),
        "nest 1, which writes c3: it writes numbers of role 'constant'",
    ),
    "samples where there is no loop over them": (
        with_nest(2, replace(TOTAL, body=Load(Access(T, 0, (1,))))),
        "nest 2, which writes t5: t4 has numbers for each sample, and no loop over samples",
    ),
    "one number for all samples where each has its own": (
        with_nest(0, replace(LAYER, batched=False, body=Number(0.0))),
        "it runs once for all samples, but each sample has its own numbers there",
    ),
    "each sample's number where all have the same": (
        with_nest(1, replace(ZERO, batched=True)),
        "it runs for each sample, but all samples have the same numbers there",
    ),
    "a sum over samples in each of them": (
        with_nest(0, replace(LAYER, body=replace(LAYER.body, samples=True))),
        "it runs for each sample and reduces over samples",
    ),
    "a sum over samples that is not added": (
        with_nest(1, replace(TOTAL, accumulate=False)),
        "it reduces over samples otherwise than by accumulating sums",
    ),
    "an output that is not written": (
        replace(NESTS, nests=(LAYER,)),
        "element 0 of the output t5 is never written",
    ),
    "an output that does not exist": (
        replace(NESTS, outputs=frozenset({7})),
        "output buffer 7 does not exist",
    ),
    "a layout that is no permutation": (
        with_buffer(S, layout=np.array([1, 1])),
        "buffer 5 (t5): its layout is no permutation of its elements",
    ),
    "a buffer without elements": (with_buffer(G, size=0), "buffer 6 (t6): it has no elements"),
    "a role that does not exist": (with_buffer(G, role="scratch"), "its role is 'scratch'"),
    "constants for each sample": (with_buffer(C, batched=True), "constants are the same"),
    "two buffers for a group": (with_buffer(G, group=5), "group 5 has 2 buffers"),
}


def test_a_sound_program_of_nests_passes():
    check_nests(NESTS, after="schedule")


@pytest.mark.parametrize(("program", "message"), BAD_NESTS.values(), ids=BAD_NESTS)
def test_a_defect_in_nests_is_named(program, message):
    """The message begins with the pass that is to blame."""
    with pytest.raises(InvalidProgramError) as caught:
        check_nests(program, after="schedule")
    assert str(caught.value).startswith("after schedule: ")
    assert message in str(caught.value)


# --- when ----------------------------------------------------------------------------------------

PROGRAM = """
import numpy as np
from liftgrad import Value, lift
from liftgrad.lift.rolling import roll

offsets = roll._offsets
roll._offsets = lambda lengths: offsets(lengths) + 1
p = [Value(1.0) for _ in range(20)]
lift(lambda p, X: [sum(w * x for w, x in zip(p, row)) for row in X])(p, np.ones((20, 20)))
"""


@pytest.mark.parametrize("asked", ["1", ""])
@pytest.mark.process
def test_a_pass_that_goes_wrong_is_caught_where_it_is_asked_for(asked):
    """Without being asked, nothing is checked: what comes of the defect shows later, or not."""
    environment = {**os.environ, "LIFTGRAD_VERIFY": asked}
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    named = "InvalidProgramError: after roll: group" in run.stderr
    assert named == bool(asked)
    assert ("its offsets are not from 0" in run.stderr) == bool(asked)
