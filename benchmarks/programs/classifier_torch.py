"""Classifiers with PyTorch in float32, eagerly, with its fused optimisers."""

import sys

import torch
from common import DIGITS, WIDE, checksum, digits, fastest, fastest_step, layers, pictures, report

torch.set_num_threads(1)


def main(task: str) -> None:
    """Run one task: digits (an epoch of Adam) or wide (a step of SGD)."""
    sizes = DIGITS if task == "digits" else WIDE
    modules: list[torch.nn.Module] = []
    for w, b in layers(sizes, "float32"):
        linear = torch.nn.Linear(w.shape[1], w.shape[0])
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(w))
            linear.bias.copy_(torch.tensor(b))
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1])
    X, y = (torch.tensor(x) for x in (digits() if task == "digits" else pictures()))
    parameters = list(model.parameters())
    optimizer = (
        torch.optim.Adam(parameters, fused=True)
        if task == "digits"
        else torch.optim.SGD(parameters, lr=0.01, fused=True)
    )

    def step(points: torch.Tensor, labels: torch.Tensor) -> None:
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(points), labels).backward()
        optimizer.step()

    if task == "wide":
        for _ in range(10):
            step(X, y)
        check = checksum(p.detach().numpy() for p in parameters)
        report(check, fastest_step(step, 20, X, y))
        return

    def epoch() -> None:
        for rows in torch.randperm(len(X)).split(64):
            step(X[rows], y[rows])

    for _ in range(20):
        epoch()
    right = model(X).argmax(1) == y
    report(float(right.float().mean()), fastest(epoch))


if __name__ == "__main__":
    main(sys.argv[1])
