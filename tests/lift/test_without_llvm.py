"""Where llvmlite cannot be imported, everything works on NumPy, with exactly one warning."""

import json
import subprocess
import sys
import textwrap

import pytest

from liftgrad import Value, lift
from liftgrad.errors import LiftError

BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "llvmlite":
            raise {error}

sys.meta_path.insert(0, Blocked())
"""

PROGRAM = """
import json, random, warnings
caught = []
warnings.simplefilter("always")
warnings.showwarning = lambda message, *rest: caught.append(str(message))

import numpy as np
from liftgrad import Trainer, Value, lift, nn, optim, recording, vmap
from liftgrad.functional import mean, take

random.seed(1)
X, y = np.random.default_rng(1).normal(size=(6, 2)), np.arange(6.0)
numbers = []

@lift
def loss(model, X, y):
    return mean([(model(x) - yi) ** 2 for x, yi in zip(X, y)])

@lift(dtype="float32")
def mapped(model, X, y):
    return mean(vmap(lambda x, yi: (model(x) - yi) ** 2)(X, y))

@lift(backend="numpy")
def picked(table, i):
    return take(table, i)

model = nn.MLP(2, [3, 1], activation="tanh")
for make in (optim.SGD, optim.Adam):
    optimizer = make(model.parameters(), lr=0.05)
    for _ in range(3):                                        # by hand
        optimizer.zero_grad()
        result = loss(model, X, y)
        result.backward()
        optimizer.step()
        numbers.append(result.data)
    for size in (None, 4):                                    # by a Trainer
        trainer = Trainer(loss, optimizer, batch_size=size, seed=3)
        numbers += trainer.run(3, model, X, y).loss.tolist()
        assert str(trainer.program)
with recording():                                             # undecorated
    rows = zip(X.tolist(), y.tolist())
    result = mean([(model(x) - yi) ** 2 for x, yi in rows]) + sum(p * p for p in model.parameters())
    model.zero_grad()
    result.backward()
numbers += [result.data, *[p.grad for p in model.parameters()]]
numbers += [p.data for p in model.parameters()]
numbers.append(picked([Value(1.0), Value(2.0)], np.array(1)).data)
model = nn.MLP(2, [3, 1])
mapped(model, np.tile(X, (600, 1)), np.tile(y, 600)).backward()
assert any(p.grad for p in model.parameters())
assert str(loss.program) and loss.stats.traces
print(json.dumps([numbers, caught, "llvmlite" in sys.modules]))
"""


def run(program):
    result = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    )
    assert not result.stderr
    return json.loads(result.stdout)


@pytest.mark.parametrize("error", ['ImportError("no llvmlite")', 'OSError("libLLVM.so: broken")'])
@pytest.mark.process
def test_everything_runs_on_numpy_with_one_warning(error):
    """Calls, gradients, optimisers, Trainer, batches, printing: the numbers are those of LLVM."""
    numbers, caught, loaded = run(BLOCKED.format(error=error) + PROGRAM)
    assert len(caught) == 1
    assert caught[0].startswith("LLVM cannot be loaded (")
    assert caught[0].endswith(
        "lifted functions run on NumPy, more slowly. Install llvmlite for native speed."
    )
    assert not loaded
    native, silent, loaded = run("import sys" + PROGRAM)
    assert numbers == pytest.approx(native, rel=1e-11)
    assert silent == []
    assert loaded


@pytest.mark.parametrize("asked", ["get_host_cpu_features", "get_host_cpu_name"])
@pytest.mark.process
def test_a_processor_that_llvm_does_not_know_is_as_good_as_no_llvm(asked):
    """Such as those of which llvmlite cannot say what features they have."""
    program = f"""
    import json, os, warnings
    os.environ["LIFTGRAD_CACHE_DIR"] = ""
    import llvmlite.binding as llvm
    def unknown():
        raise RuntimeError("failed to get host cpu features.")
    llvm.{asked} = unknown
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from liftgrad import Value, lift, recording
        f, x = lift(lambda x: x * x), Value(3.0)
        f(x).backward()
        with recording():
            (x * x).backward()
    print(json.dumps([x.grad, [str(warning.message) for warning in caught]]))
    """
    gradient, (warning,) = run(textwrap.dedent(program))
    assert gradient == 12.0
    assert warning == (
        "LLVM does not know this processor (failed to get host cpu features.); lifted functions "
        "run on NumPy, more slowly. Another llvmlite may."
    )


@pytest.mark.parametrize("bits", ["abc", "-128", "100", "1024", "12.8"])
def test_vectors_have_a_width_that_there_is(monkeypatch, bits):
    """Another one is refused by name, at each call."""
    monkeypatch.setenv("LIFTGRAD_VECTOR_BITS", bits)
    f = lift(lambda x: x * x)
    for _ in range(2):
        with pytest.raises(LiftError, match=f"LIFTGRAD_VECTOR_BITS is '{bits}'; set it to 128, "):
            f(Value(3.0))
    monkeypatch.setenv("LIFTGRAD_VECTOR_BITS", "")
    assert f(Value(3.0)).data == 9.0


@pytest.mark.process
def test_the_warning_may_be_an_error():
    """Then it is raised where the function is called."""
    program = """
    import warnings
    warnings.simplefilter("error")
    from liftgrad import Value, lift
    try:
        lift(lambda x: x * x)(Value(2.0))
    except RuntimeWarning as warning:
        print('"raised"')
    """
    error = 'ImportError("no llvmlite")'
    assert run(BLOCKED.format(error=error) + textwrap.dedent(program)) == "raised"


@pytest.mark.process
def test_the_numpy_backend_asks_for_no_llvm():
    """backend="numpy" neither warns nor imports it, and steps and trains without."""
    program = """
    import sys, warnings
    warnings.simplefilter("error")
    from liftgrad import Trainer, Value, lift, optim
    xs = [Value(1.0), Value(2.0)]
    f = lift(backend="numpy")(lambda xs: sum(x * x for x in xs))
    f(xs).backward()
    optimizer = optim.SGD(xs, lr=0.1)
    optimizer.step()
    Trainer(f, optimizer).run(3, xs)
    print(str("llvmlite" in sys.modules).lower())
    """
    assert run(textwrap.dedent(program)) is False


@pytest.mark.process
def test_the_command_works_without_llvm(tmp_path):
    """liftgrad moons, on NumPy."""
    program = BLOCKED.format(error='ImportError("no llvmlite")') + textwrap.dedent(f"""
    from liftgrad.cli import main
    sys.argv = ["liftgrad", "moons", "--steps", "2", "--output", {str(tmp_path / "moons.png")!r}]
    main()
    """)
    result = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "moons.png").exists()
    assert result.stderr.count("LLVM cannot be loaded") == 1
