"""Write optim.json: what PyTorch's optimisers do to three parameters in 25 steps.

python -m venv torch && torch/bin/pip install torch numpy
torch/bin/python tests/reference/make_optim.py
"""

import json
import math
from pathlib import Path

import torch

START = [0.7, -1.3, 0.02]
STEPS = 25
CASES = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}),
    ("SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
    ("SGD", {"lr": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.1, "weight_decay": 0.05}),
    ("SGD", {"lr": 0.1, "momentum": 0.5, "nesterov": True, "weight_decay": 0.2}),
    ("SGD", {"lr": "linear", "momentum": 0.9}),
    ("Adam", {}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.05, "betas": [0.5, 0.9]}),
    ("Adam", {"lr": 0.05, "betas": [0.0, 0.5]}),
    ("Adam", {"lr": 0.05, "eps": 0.1}),
    ("Adam", {"lr": 0.05, "weight_decay": 0.3}),
    ("Adam", {"lr": "linear", "betas": [0.8, 0.99]}),
]


def gradient(i: int, p: float, step: int) -> float:
    """Return the gradient of parameter i: a parabola's, and a noise that differs by step."""
    return (0.5, 3.0, 20.0)[i] * p - 0.2 + 0.3 * math.cos(1.7 * step + i)


def trajectory(name: str, arguments: dict) -> list[list[float]]:
    """Return the parameters after each step."""
    parameters = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in START]
    linear = arguments.get("lr") == "linear"
    arguments = {**arguments, "lr": 0.2} if linear else arguments
    optimizer = getattr(torch.optim, name)(parameters, **{"lr": 1e-3, **arguments})
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: (0.2 - 0.15 * min(k, 20) / 20) / 0.2 if linear else 1.0
    )
    points = []
    for step in range(STEPS):
        for i, p in enumerate(parameters):
            p.grad = torch.tensor(gradient(i, p.item(), step), dtype=torch.float64)
        optimizer.step()
        schedule.step()
        points.append([p.item() for p in parameters])
    return points


if __name__ == "__main__":
    result = {
        "made by": f"PyTorch {torch.__version__}",
        "start": START,
        "cases": [
            {"optimizer": name, "arguments": arguments, "trajectory": trajectory(name, arguments)}
            for name, arguments in CASES
        ],
    }
    text = json.dumps(result, indent=1)
    Path(__file__).with_name("optim.json").write_text(text + "\n", encoding="utf-8")
