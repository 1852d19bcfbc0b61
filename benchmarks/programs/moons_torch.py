"""Two moons with PyTorch in float64, eagerly."""

import itertools
import sys

import torch
from common import MOONS, checksum, fastest_step, layers, moons, rate, report

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def main(task: str) -> None:
    """Run one task: scan, step (the same here), or start."""
    X, y = (torch.tensor(x) for x in moons(100))
    linear = [torch.nn.Linear(a, b) for a, b in itertools.pairwise(MOONS)]
    with torch.no_grad():
        for layer, (w, b) in zip(linear, layers(MOONS), strict=True):
            layer.weight.copy_(torch.tensor(w))
            layer.bias.copy_(torch.tensor(b))
    relu = torch.nn.ReLU()
    model = torch.nn.Sequential(linear[0], relu, linear[1], relu, linear[2])
    # The penalty 1e-4·Σp² is a weight decay: that costs PyTorch least.
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, weight_decay=2e-4)

    def step(r: float) -> None:
        optimizer.param_groups[0]["lr"] = r
        optimizer.zero_grad()
        torch.relu(1 - y * model(X)[:, 0]).mean().backward()
        optimizer.step()

    for k in range(100):
        step(rate(k))
    check = checksum(p.detach().numpy() for p in model.parameters())
    if task == "start":
        report(check)
    else:
        report(check, fastest_step(step, 100, 0.1))


if __name__ == "__main__":
    main(sys.argv[1])
