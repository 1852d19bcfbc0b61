"""Threads: calls from several at once, kernels without the GIL, large batches shared by several."""

import copy
import os
import random
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from liftgrad import Value, get_num_threads, lift, nn, set_num_threads, vmap
from liftgrad.functional import mean, take, total
from liftgrad.lift.run.portions import Portions


@pytest.fixture
def threads():
    """Set how many threads share a batch; afterwards, it is as many as before."""
    before = get_num_threads()
    yield set_num_threads
    set_num_threads(before)


def make_model(activation="tanh"):
    random.seed(11)
    return nn.MLP(2, [8, 1], activation=activation)


def make_data(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 2)), rng.normal(size=n)


def squared(model, X, y):
    return mean(vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y))


def outcome(function, model, *arguments, backward=1):
    """Return the result's numbers, and the model's gradients after a number of backward() calls."""
    model.zero_grad()
    result = function(model, *arguments)
    for _ in range(backward):
        result.backward()
    return [result.data, *[p.grad for p in model.parameters()]]


# Calls from several threads.


def test_one_function_in_several_threads():
    """Each thread gets the numbers for its own arguments, on models of their own."""
    f = lift(squared)
    models, data = [make_model() for _ in range(4)], [make_data(20 + i, i) for i in range(4)]
    for i, model in enumerate(models):
        model.parameters()[0].data += i
    expected = [outcome(lift(squared), copy.deepcopy(models[i]), *data[i]) for i in range(4)]

    def work(i):
        return [outcome(f, models[i], *data[i]) for _ in range(50)]

    with ThreadPoolExecutor(4) as pool:
        for i, results in enumerate(pool.map(work, range(4))):
            assert results == [expected[i]] * 50
    assert f.stats.traces == 1


def test_functions_first_called_at_the_same_moment():
    """They trace, compile and make windows of one shared model, all at once."""
    barrier = threading.Barrier(6)
    model = make_model()
    X, _ = make_data(5)
    functions = [lift(lambda m, X, k=k: sum(m(x) * (k + 1.0) for x in X)) for k in range(3)]
    expected = sum(model(x) for x in X).data

    def work(i):
        barrier.wait()
        return functions[i % 3](model, X).data

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(work, range(6)))
    assert results == pytest.approx([expected * (i % 3 + 1) for i in range(6)], rel=1e-12)
    assert [f.stats.traces for f in functions] == [1, 1, 1]


def test_gradients_from_several_threads_add_up():
    """On one model, through several functions: no part is lost."""
    model, steps = make_model(), 40
    functions = [lift(lambda m: sum(p * 2.0 for p in m.parameters())) for _ in range(4)]
    for f in functions:
        f(model)

    def work(f):
        for _ in range(steps):
            f(model).backward()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, functions))
    assert {p.grad for p in model.parameters()} == {2.0 * steps * len(functions)}


def test_results_may_be_differentiated_in_other_threads():
    """While the function goes on being called in this one."""
    f = lift(lambda x, k: x * x * k)
    x = Value(3.0)

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(f(x, float(k)).backward) for k in range(100)]
        for job in jobs:
            job.result()
    assert x.grad == 6.0 * sum(range(100))


def test_the_gil_is_released_while_kernels_run(threads):
    """Python goes on in another thread during one long native call."""
    threads(1)
    f = lift(squared)
    model, arguments = make_model(), make_data(1_500_000)
    f(model, *arguments)
    ticks, running = [], threading.Event()

    def tick():
        while not running.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.0005)

    ticker = threading.Thread(target=tick)
    ticker.start()
    calls = []
    for _ in range(5):
        start = time.perf_counter()
        f(model, *arguments).backward()
        calls.append((start, time.perf_counter()))
    running.set()
    ticker.join()
    for start, end in calls:
        assert end - start > 0.005
    within = [sum(start < t < end for t in ticks) for start, end in calls]
    assert min(within) >= 3, (within, calls)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.process
def test_a_forked_process_has_threads_of_its_own():
    """Those of its parent do not live on in it."""
    program = """
    import os
    import numpy as np
    from liftgrad import Value, lift, set_num_threads, vmap
    from liftgrad.functional import total

    set_num_threads(2)
    f = lift(lambda w, X: total(vmap(lambda x: w * x[0])(X)))
    w, X = Value(2.0), np.ones((100_000, 1))
    f(w, X).backward()
    child = os.fork()
    result = f(w, X)
    result.backward()
    assert (result.data, w.grad) == (200_000.0, 200_000.0)
    if not child:
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=True, timeout=60)


# Large batches, portion by portion.


def both(function, model, *arguments, **options):
    """Assert that NumPy and the kernels agree, and that the kernels ran in portions or not."""
    native = lift(function)
    got = outcome(native, model, *arguments, **options)
    expected = outcome(lift(backend="numpy")(function), model, *arguments, **options)
    assert got == pytest.approx(expected, rel=1e-11, abs=1e-13)
    (run,) = native._last.instances.values()
    return run.whole_plan if isinstance(run.whole_plan, Portions) else None


def test_batches_around_the_size_of_portions():
    """Two portions exactly, one sample less or more, many, and a last one of a single sample."""
    model = make_model()
    portions = both(squared, model, *make_data(10_000))
    assert isinstance(portions, Portions)
    size = portions.portion
    sizes = [max(2 * size, 2048) + shift for shift in (-1, 0, 1)]
    sizes += [8 * size + shift for shift in (-1, 0, 1)] + [16 * size + 1, 24 * size - 1, 7919]
    cut = [both(squared, model, *make_data(n)) is not None for n in sizes]
    assert cut == [n >= max(2 * size, 2048) for n in sizes]


def normalised(model, X, y):
    """Use a mean over all samples within each: samples meet between two passes over them."""
    centre = mean(vmap(lambda x: model(x))(X))  # noqa: PLW0108, the model is no function
    return mean(vmap(lambda x, yi: (model(x) - centre - yi) ** 2)(X, y)) + centre**2


def test_samples_that_meet_between_passes():
    """A mean over all samples that each of them uses, and its gradient through it."""
    for n in (2048, 5000, 7919):
        both(normalised, make_model(), *make_data(n))


def test_indices_for_each_sample():
    """Rows taken by an index of the sample's own, whose gradients are scattered."""

    def f(model, tokens, X):
        rows = [[*n.w, n.b] for n in model.layers[0].neurons]

        def one(token, x):
            a, b, c = take(rows, token)
            return (a * x[0] + b * x[1] + c).tanh()

        return mean(vmap(one)(tokens, X))

    for n in (2048, 4097):
        tokens = np.random.default_rng(n).integers(0, 8, n)
        both(f, make_model(), tokens, make_data(n)[0])


@pytest.mark.parametrize("count", [2, 3, 8, 20])
def test_the_number_of_threads_changes_no_bit(threads, count):
    """Of result and gradients."""
    model, arguments = make_model(), make_data(30_001)
    for function in (squared, normalised):
        outcomes = []
        for n in (1, count):
            threads(n)
            f = lift(function)
            outcomes += [outcome(f, model, *arguments) for _ in range(2)]
        assert all(a == b for a, b in pairwise(outcomes))


def test_results_for_each_sample():
    """Beside a sum over them, in order, also if only the numbers are asked for."""
    model, (X, _) = make_model(), make_data(5003)

    def f(model, X):
        scores = vmap(model)(X)
        return {"scores": scores, "total": total(scores), "constant": vmap(lambda x: 2.0)(X)}

    results = [lift(backend=backend)(f)(model, X) for backend in ("native", "numpy")]
    for result in results:
        assert result["scores"].shape == result["constant"].shape == (5003,)
    assert results[0]["scores"] == pytest.approx(results[1]["scores"], rel=1e-12, abs=1e-13)
    assert results[0]["constant"].tolist() == [2.0] * 5003
    assert results[0]["total"].data == pytest.approx(results[0]["scores"].sum(), rel=1e-11)
    gradients = []
    for result in results:
        model.zero_grad()
        result["total"].backward()
        gradients.append([p.grad for p in model.parameters()])
    assert gradients[0] == pytest.approx(gradients[1], rel=1e-11)


def test_calls_without_gradients_and_with_them_in_turns():
    """Whatever the function foresaw, each result has its own gradient when it is asked for."""
    model = make_model()
    f, g = lift(squared), lift(backend="numpy")(squared)
    rng = random.Random(5)
    for step in range(24):
        arguments = make_data(3000, seed=step % 3)
        model.zero_grad()
        kept = f(model, *arguments)
        got = [kept.data]
        times = rng.choice([0, 0, 1, 2])
        for _ in range(times):
            (kept * rng.choice([1.0, 3.0]) if rng.random() < 0.5 else kept).backward()
        got += [p.grad for p in model.parameters()]
        factor = max(abs(x) for x in got[1:])
        expected = outcome(g, model, *arguments)
        assert got[0] == pytest.approx(expected[0], rel=1e-11)
        if times and factor:
            ratio = np.array(got[1:]) / np.array(expected[1:])
            assert ratio == pytest.approx(np.round(ratio[0]), rel=1e-8)


@pytest.mark.parametrize("seeds", [(1.0, 3.0), (2.0, 5.0), (-1.0, 0.0)])
def test_backward_again_with_another_factor(seeds):
    """The gradient of the second is not that of the first times something."""
    model, arguments = make_model(), make_data(3000)
    f = lift(squared)
    one = np.array(outcome(lift(backend="numpy")(squared), model, *arguments)[1:])
    for _ in range(3):
        model.zero_grad()
        result = f(model, *arguments)
        for seed in seeds:
            (result * seed).backward()
        got = [p.grad for p in model.parameters()]
        assert got == pytest.approx(one * sum(seeds), rel=1e-10)
        f(model, *arguments)


def test_a_gradient_asked_for_after_another_call():
    """It is that of its own call."""
    model = make_model()
    f = lift(squared)
    data = [make_data(3000, seed) for seed in range(3)]
    results = [f(model, *arguments) for arguments in data]
    for result, arguments in zip(results, data, strict=True):
        model.zero_grad()
        result.backward()
        got = [p.grad for p in model.parameters()]
        expected = outcome(lift(backend="numpy")(squared), model, *arguments)[1:]
        assert got == pytest.approx(expected, rel=1e-11)


def test_several_results_of_a_large_batch():
    """Each with its own gradient, in any order, twice."""
    model, (X, y) = make_model(), make_data(3000)

    def f(model, X, y):
        scores = vmap(lambda x, yi: [model(x), model(x) * yi])(X, y)
        return [mean(scores[0]), mean(scores[1]), model.parameters()[0] * 2.0]

    functions = [lift(backend=backend)(f) for backend in ("native", "numpy")]
    for order in ((0, 1, 2), (2, 1, 0), (1, 1, 0, 2, 0)):
        gradients = []
        for function in functions:
            model.zero_grad()
            results = function(model, X, y)
            steps = []
            for i in order:
                results[i].backward()
                steps.append([p.grad for p in model.parameters()])
            (results[0] * 2.0 + results[1]).backward()
            gradients.append([*steps, [p.grad for p in model.parameters()]])
        for a, b in zip(*gradients, strict=True):
            assert a == pytest.approx(b, rel=1e-11, abs=1e-14)


@pytest.mark.parametrize("count", [0, -1])
def test_fewer_than_one_thread_is_refused(count):
    """With what to pass."""
    with pytest.raises(ValueError, match=rf"set_num_threads\({count}\); pass 1 or more\."):
        set_num_threads(count)
