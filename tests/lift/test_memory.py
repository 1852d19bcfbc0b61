"""A lifted training step keeps hardly more arrays than one written by hand with NumPy."""

import numpy as np
import pytest

from liftgrad import Trainer, data, lift, nn, optim, vmap
from liftgrad.functional import log_softmax, mean, take

native = pytest.importorskip("liftgrad.lift.native.memory")


@lift
def hinge(model, X, y):
    scores = [model(x) for x in X]
    return mean([(1 - yi * s).relu() for yi, s in zip(y, scores, strict=True)])


@lift
def cross_entropy(model, X, y):
    return mean(vmap(lambda x, label: -take(log_softmax(model(x)), label))(X, y))


def moons():
    return nn.MLP(2, [16, 32, 1]), hinge, data.make_moons(100, noise=0.1, seed=1)


def classifier():
    generator = np.random.default_rng(1)
    return (
        nn.MLP(64, [128, 10]),
        cross_entropy,
        (generator.normal(size=(64, 64)), generator.integers(0, 10, 64)),
    )


@pytest.mark.parametrize("task", [moons, classifier])
def test_buffers_of_a_step(task, monkeypatch):
    """At most 1.5 times parameters, gradients, state, data, and each neuron's value and adjoint."""
    instances = []
    bind = native.NativeProgram.bind

    def remember(*args, **kwargs):
        instances.append(bind(*args, **kwargs))
        return instances[-1]

    monkeypatch.setattr(native.NativeProgram, "bind", remember)
    model, loss, arguments = task()
    X = np.asarray(arguments[0])
    parameters = model.parameters()
    Trainer(loss, optim.Adam(parameters, lr=0.01)).run(2, model, *arguments)
    taken = max(sum(buffer.nbytes for buffer in instance.buffers) for instance in instances)
    neurons = sum(len(layer.neurons) for layer in model.layers)
    by_hand = 8 * (4 * len(parameters) + X.size + len(X) + 2 * len(X) * neurons)
    assert taken <= 1.5 * by_hand
