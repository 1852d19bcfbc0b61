"""Training to a stated accuracy with PyTorch, eagerly, with its fused Adam."""

import itertools
import math
import sys
from typing import Any

import torch
from training import BATCH, SEED, SIZES, data, until_right

torch.set_num_threads(1)


def main(task: str) -> None:
    """Train to the task's accuracy."""
    X, y, X_test, y_test = (torch.tensor(x) for x in data(task))

    def prepare() -> Any:
        torch.manual_seed(SEED)
        modules: list[torch.nn.Module] = []
        sizes = SIZES[task]
        for inputs, outputs in itertools.pairwise(sizes):
            linear = torch.nn.Linear(inputs, outputs)
            torch.nn.init.xavier_uniform_(linear.weight)
            bound = math.sqrt(6.0 / (inputs + outputs))
            torch.nn.init.uniform_(linear.bias, -bound, bound)
            modules += [linear, torch.nn.ReLU()]
        model = torch.nn.Sequential(*modules[:-1])
        optimizer = torch.optim.Adam(model.parameters(), lr=0.001, fused=True)

        def epoch() -> None:
            for rows in torch.randperm(len(X)).split(BATCH[task]):
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(model(X[rows]), y[rows]).backward()
                optimizer.step()

        def accuracy() -> float:
            with torch.no_grad():
                return float((model(X_test).argmax(1) == y_test).float().mean())

        return epoch, accuracy

    until_right(task, prepare)


if __name__ == "__main__":
    main(sys.argv[1])
