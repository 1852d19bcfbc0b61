"""Two moons with liftgrad, the scalar program as in its README."""

import sys
from typing import Any

from common import CLOUD, MOONS, checksum, fastest, fastest_step, moons, report, set_parameters

from liftgrad import Trainer, functional, lift, nn, optim, set_num_threads, vmap


@lift
def loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the hinge loss with an L2 penalty, the batch a Python loop."""
    scores = [model(x) for x in X]
    hinge = sum((1 - yi * s).relu() for yi, s in zip(y, scores, strict=True)) / len(scores)
    return hinge + 1e-4 * sum(p * p for p in model.parameters())


@lift
def mapped_loss(model: nn.MLP, X: Any, y: Any) -> Any:
    """Return the same, the batch mapped over."""
    hinge = functional.mean(vmap(lambda x, t: (1 - t * model(x)).relu())(X, y))
    return hinge + 1e-4 * sum(p * p for p in model.parameters())


def main(task: str) -> None:
    """Run one task: scan, step, start, start-vmap, cloud-1 or cloud-2."""
    model = nn.MLP(MOONS[0], MOONS[1:])
    parameters = model.parameters()
    set_parameters(parameters, MOONS)
    optimizer = optim.SGD(parameters, lr=optim.linear(1.0, 0.1, steps=100))

    if task.startswith("cloud"):
        set_num_threads(int(task[-1]))
        X, y = moons(CLOUD)

        def gradient() -> None:
            optimizer.zero_grad()
            mapped_loss(model, X, y).backward()

        gradient()
        check = checksum(p.grad for p in parameters)
        report(check, fastest(gradient))
        return

    X, y = moons(100)
    chosen = mapped_loss if task == "start-vmap" else loss
    trainer = Trainer(chosen, optimizer)
    if task in ("scan", "start", "start-vmap"):
        trainer.run(100, model, X, y)
        check = checksum(p.data for p in parameters)
        if task == "scan":
            report(check, fastest(lambda: trainer.run(1000, model, X, y)) / 1000)
        else:
            report(check)
        return

    def step() -> None:
        optimizer.zero_grad()
        total = loss(model, X, y)
        total.backward()
        optimizer.step()

    for _ in range(100):
        step()
    check = checksum(p.data for p in parameters)
    report(check, fastest_step(step, 200))


if __name__ == "__main__":
    main(sys.argv[1])
