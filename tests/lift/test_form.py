"""Forms: nests that are alike otherwise than by where they read and write share a kernel."""

from collections import Counter

import numpy as np
import pytest
from agreement import Scheduled
from hypothesis import given, settings
from stages import scheduled, values
from strategies import Program, programs

from liftgrad.functional import exp, take, total
from liftgrad.lift.kernels.llvm.writer import kernel, kernels
from liftgrad.lift.native.compiler import host
from liftgrad.lift.stand_ins.vmap import vmap


def check(program):
    """Written together, all kernels are as if each were written by itself."""
    together = kernels(program, host(), "float64")
    for nest, found in zip(program.nests, together, strict=True):
        assert found == kernel(nest, program.buffers, host(), "float64")
    return [one.text for one in together]


def chain(p, steps):
    x = 1.0
    for _ in range(steps):
        x = x + 0.1 * (p[0] * x - exp(-x) * p[1])
    return x


def test_a_chain_has_few_forms():
    """A hundred and twenty steps, and their gradient, have the kernels of forty."""
    forty, many = (
        check(scheduled(lambda p, n=n: chain(p, n), values(2), gradient=True, loops=False))
        for n in (40, 120)
    )
    assert len(many) > 2.5 * len(forty)
    assert set(many) == set(forty)


def test_numbers_and_repeated_reads_are_of_the_form():
    """x·x reads once what x·y reads twice; 2x, -0x and 0x are three kernels."""

    def f(p):
        a, b, c = p[0].exp(), p[1].exp(), p[2].exp()
        d = a * b + a * a
        return [exp(d * k) * exp(d * k + c) for k in (2.0, -0.0, 0.0, float("nan"))]

    texts = check(scheduled(f, values(3)))
    assert max(Counter(texts).values()) < len(texts)


def test_run_time_indices_and_tables():
    """Reads by way of tables, of indices, and of both."""
    order = np.random.default_rng(0).permutation(9).tolist()

    def f(p, k, X):
        q = [p[i] * p[j] for i, j in zip(order, order[::-1], strict=True)]
        return total(vmap(lambda x: x * take(q, k[1]) + take(p, k[0]))(X))

    check(scheduled(f, values(9), np.array([1, 2]), np.ones(5), gradient=True))


@pytest.mark.thorough
@given(programs(statements=3))
@settings(max_examples=100)
def test_random_programs(program: Program) -> None:
    """Whatever the nests are."""
    check(Scheduled(program).nests)
