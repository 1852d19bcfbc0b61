"""A step of moons networks of any size on any number of points with PyTorch, eagerly."""

import itertools
import sys

import torch
from common import checksum, fastest, layers, moons, report

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)


def main(points: int, sizes: list[int]) -> None:
    """Take steps of gradient descent."""
    X, y = (torch.tensor(x) for x in moons(points))
    modules: list[torch.nn.Module] = []
    for (a, b), (weight, bias) in zip(itertools.pairwise(sizes), layers(sizes), strict=True):
        linear = torch.nn.Linear(a, b)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(weight))
            linear.bias.copy_(torch.tensor(bias))
        modules += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*modules[:-1])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, weight_decay=2e-4)

    def step() -> None:
        optimizer.zero_grad()
        torch.relu(1 - y * model(X)[:, 0]).mean().backward()
        optimizer.step()

    for _ in range(5):
        step()
    check = checksum(p.detach().numpy() for p in model.parameters())
    report(check, fastest(step))


if __name__ == "__main__":
    main(int(sys.argv[1]), [int(x) for x in sys.argv[2:]])
