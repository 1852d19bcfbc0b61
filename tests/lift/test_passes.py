"""Passes: each returns a new program and leaves the one that it was given as it was."""

import numpy as np
from stages import rolled, values

from liftgrad import nn
from liftgrad.functional import log_softmax, mean, take
from liftgrad.lift.differentiation.adjoint import adjoint
from liftgrad.lift.ir.groups import Builder, Leaf
from liftgrad.lift.ir.text import text_of_groups, text_of_nests
from liftgrad.lift.scheduling.schedule import schedule
from liftgrad.lift.stand_ins.vmap import vmap


def classifier():
    """A program with all kinds of groups, once it has its gradient."""

    def loss(model, X, y):
        return mean(vmap(lambda x, t: -take(log_softmax(model(x)), t))(X, y))

    return rolled(loss, nn.MLP(3, [4, 3]), np.ones((5, 3)), np.arange(5) % 3)


def leaves_of(program):
    groups = enumerate(program.groups)
    return [i for i, g in groups if isinstance(g, Leaf) and g.kind == "parameter"]


def differentiated(program):
    builder = Builder(program)
    seeds = [builder.constant(1.0, 1)]
    return adjoint(builder.program(), seeds, leaves_of(program))


def test_a_gradient_is_a_longer_program():
    """The groups that were there are its first ones, the very same; the shorter one stays."""
    program = classifier()
    before = text_of_groups(program)
    longer, gradients = differentiated(program)
    assert text_of_groups(program) == before
    assert all(a is b for a, b in zip(program.groups, longer.groups, strict=False))
    assert len(longer.groups) > len(program.groups)
    assert program.roles == {}
    assert [longer.roles[gradient.group] for gradient in gradients] == [("∂", 0)]


def test_what_is_computed_is_asked_of_the_scheduler():
    """One program makes nests for its results, for its gradient or for both, in any order."""
    program, gradients = differentiated(classifier())
    before = text_of_groups(program)
    both = text_of_nests(schedule(program, [*program.outputs, *gradients]))
    results = text_of_nests(schedule(program, program.outputs))
    assert text_of_nests(schedule(program, [*program.outputs, *gradients])) == both
    assert len(results.splitlines()) < len(both.splitlines())
    assert text_of_groups(program) == before


def test_a_builder_may_go_on_after_it_gave_a_program():
    program = rolled(lambda p: p[0] * p[1], values(2))
    builder = Builder(program)
    builder.constant(1.0, 1)
    shorter = builder.program()
    builder.constant(2.0, 1)
    sizes = [len(p.groups) for p in (program, shorter, builder.program())]
    assert sizes == [2, 3, 4]
