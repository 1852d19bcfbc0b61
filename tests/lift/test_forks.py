"""Forks while other threads are at work: the child finds no lock held, and nothing half-done."""

import contextlib
import multiprocessing
import os
import random
import signal
import threading
import time

import numpy as np
import pytest

from liftgrad import Value, lift, nn, optim, recording, vmap
from liftgrad.errors import LiftError
from liftgrad.functional import mean
from liftgrad.lift.run import parameters
from liftgrad.record import context

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes"),
    # Python warns of what is tested here.
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
]


def succeeds_in_child(function, seconds=20.0):
    """Whether a function ends without an exception in a forked process, and in time."""
    child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            function()
            os._exit(0)
        os._exit(1)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status == 0
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@contextlib.contextmanager
def at_work(*works):
    """Repeat functions in threads of their own, each at least once before the block begins."""
    over, errors = threading.Event(), []
    begun = [threading.Event() for _ in works]

    def repeat(work, once):
        try:
            while not over.is_set():
                work()
                once.set()
        except Exception as error:  # noqa: BLE001
            errors.append(error)
            once.set()

    threads = [
        threading.Thread(target=repeat, args=pair) for pair in zip(works, begun, strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        for once in begun:
            once.wait()
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert not errors


@contextlib.contextmanager
def held(lock):
    """Hold a lock in another thread."""
    taken, over = threading.Event(), threading.Event()

    def hold():
        with lock:
            taken.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    yield
    over.set()
    thread.join()


def squared(model, X, y):
    return mean(vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y))


def make(samples=20_000):
    random.seed(3)
    rng = np.random.default_rng(3)
    return (
        nn.MLP(2, [8, 1], activation="tanh"),
        rng.normal(size=(samples, 2)),
        rng.normal(size=samples),
    )


def energy_of(number):
    """Return a function that no other call of this returns, and its derivative at 3."""
    number = float(number)
    return lift(lambda x: x * x * number + number), 6.0 * number


def check_new_function(number):
    f, expected = energy_of(number)
    x = Value(3.0)
    f(x).backward()
    assert x.grad == expected


@pytest.mark.process
def test_a_child_calls_what_another_thread_was_calling():
    """The child can call the same function, and others, with or without worker threads."""
    model, X, y = make()
    f = lift(squared)
    expected = [f(model, X[:n], y[:n]).data for n in (20_000, 10)]

    def call():
        for n, result in zip((20_000, 10), expected, strict=True):
            assert f(model, X[:n], y[:n]).data == result
        f(model, X, y).backward()
        assert all(np.isfinite(p.grad) for p in model.parameters())
        check_new_function(0.5)

    with at_work(lambda: f(model, X, y)):
        assert all(succeeds_in_child(call) for _ in range(10))
    assert f(model, X, y).data == expected[0]


@pytest.mark.process
def test_a_child_has_the_gradient_of_a_call_made_before():
    """Another thread's lock on the function does not keep the child from backward()."""
    f, x = lift(lambda x: x * x), Value(3.0)
    result = f(x)

    def differentiate():
        result.backward()
        assert x.grad == 6.0
        f(x).backward()
        assert x.grad == 12.0

    with held(f.lock):
        assert succeeds_in_child(differentiate)
    differentiate()


@pytest.mark.process
def test_a_child_compiles_while_another_thread_compiled():
    """Parent and child compile many new functions."""
    numbers = iter(range(1, 10**6))
    with at_work(lambda: check_new_function(next(numbers))):
        for k in range(10):
            time.sleep(0.002 * k)
            assert succeeds_in_child(lambda k=k: check_new_function(k + 0.25))


@pytest.mark.process
def test_a_fork_waits_for_short_locks():
    """The locks for moving parameters and adding gradients are free in the child."""
    f, x = lift(lambda x: x * x), Value(3.0)
    f(x).backward()
    for lock in (parameters.adding, parameters._lock):
        over = threading.Event()

        def hold(lock=lock, over=over):
            with lock:
                over.set()
                time.sleep(0.1)

        thread = threading.Thread(target=hold)
        thread.start()
        over.wait()
        assert succeeds_in_child(lambda: f(x).backward())
        thread.join()


@pytest.mark.process
def test_a_thread_may_draw_when_the_process_forks():
    """NumPy's generators may stay locked in the child, which lifts nevertheless."""
    own = np.random.default_rng(0)
    for lock in (own.bit_generator.lock, np.random.get_state.__self__._bit_generator.lock):
        begun, over = threading.Event(), threading.Event()

        def hold(lock=lock, begun=begun, over=over):
            with lock:
                begun.set()
                over.wait()

        thread = threading.Thread(target=hold)
        thread.start()
        begun.wait()
        assert succeeds_in_child(lambda: check_new_function(np.random.default_rng(1).random()))
        over.set()
        thread.join()


@pytest.mark.process
def test_a_thread_may_fork_while_it_holds_a_lock():
    """A signal handler or a finaliser may fork at any point of a call."""
    f, x = lift(lambda x: x * x), Value(3.0)
    f(x).backward()
    with f.lock, parameters.adding:
        assert succeeds_in_child(lambda: f(x).backward())
    f(x).backward()
    assert x.grad == 12.0


@pytest.mark.process
def test_a_child_records_while_another_thread_recorded():
    """The child has recordings of its own, on the same parameters."""
    xs = [Value(float(i)) for i in range(50)]
    numbers = [x.data for x in xs]

    def record():
        with recording():
            total = sum(x * x for x in xs)
            assert total.data == sum(a * a for a in numbers)
            total.backward()

    with at_work(record):
        assert all(succeeds_in_child(record) for _ in range(10))


@pytest.mark.process
def test_what_another_thread_recorded_is_there_or_lost_with_a_sentence():
    """Numbers computed before the fork are there; others raise an error that says why."""
    x = Value(3.0)
    with recording():
        y = x * x
        assert y.data == 9.0
        z = y * y

        def look():
            assert y.data == 9.0
            with pytest.raises(LiftError, match="its results are lost; compute them anew"):
                z.data  # noqa: B018
            assert type(x) is Value
            assert (x * x).data == 9.0

        with held(y._recording.lock):
            assert succeeds_in_child(look)
        assert z.data == 81.0


@pytest.mark.process
def test_a_child_in_which_nobody_records_is_eager():
    """Recordings of the parent's other threads do not go on in the child."""
    entered, over = threading.Event(), threading.Event()

    def record():
        with recording():
            entered.set()
            over.wait()

    thread = threading.Thread(target=record)
    thread.start()
    entered.wait()

    def count():
        assert context._blocks == 0
        assert type(Value(2.0) * 3.0) is Value

    assert succeeds_in_child(count)
    over.set()
    thread.join()


def fit(seed):
    """Return what a model comes to, from a process of a pool."""
    model, X, y = make(300)
    f, optimizer = lift(squared), optim.Adam(model.parameters(), lr=0.01 * seed)
    for _ in range(5):
        optimizer.zero_grad()
        f(model, X, y).backward()
        optimizer.step()
    return f(model, X, y).data


@pytest.mark.process
def test_processes_of_a_pool():
    """multiprocessing may fork while threads call and compile."""
    expected = [fit(seed) for seed in (1, 2, 3, 4)]
    model, X, y = make()
    f = lift(squared)
    numbers = iter(range(1, 10**6))
    works = (lambda: f(model, X, y), lambda: check_new_function(next(numbers)))
    with at_work(*works), multiprocessing.get_context("fork").Pool(2) as pool:
        assert pool.map_async(fit, (1, 2, 3, 4)).get(60) == expected
