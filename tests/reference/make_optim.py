"""Write optim.json: PyTorch's optimisers on three parameters, its schedules and its clipping.

python -m venv torch && torch/bin/pip install torch numpy
torch/bin/python tests/reference/make_optim.py
"""

import json
import math
from pathlib import Path

import torch
from torch.optim import lr_scheduler as schedulers

START = [0.7, -1.3, 0.02]
STEPS = 200
KEPT = [*range(12), 24, 49, 99, 149, 199]
CASES = [
    ("SGD", {}),
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
    ("Adam", {"lr": 0.05, "betas": [0.8, 0.9], "amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {}),
    ("AdamW", {"lr": 0.05, "weight_decay": 0.3}),
    ("AdamW", {"lr": "linear", "betas": [0.8, 0.99], "eps": 1e-4, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.05, "betas": [0.8, 0.9], "amsgrad": True}),
    ("RMSprop", {}),
    ("RMSprop", {"lr": 0.05, "alpha": 0.9, "eps": 1e-3}),
    ("RMSprop", {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}),
    ("RMSprop", {"lr": 0.02, "alpha": 0.95, "centered": True}),
    ("RMSprop", {"lr": "linear", "alpha": 0.9, "momentum": 0.5, "centered": True}),
    ("Adagrad", {}),
    ("Adagrad", {"lr": 0.3, "lr_decay": 0.05, "weight_decay": 0.1}),
    ("Adagrad", {"lr": "linear", "initial_accumulator_value": 0.5, "eps": 1e-3}),
]
GROUPS = [
    # the settings of all, and of each group: of the first parameter, and of the two others
    ("SGD", {"lr": 1.0, "momentum": 0.9}, [{"lr": 0.1}, {"lr": 0.02, "weight_decay": 0.1}]),
    ("SGD", {"lr": 0.05}, [{"momentum": 0.9, "nesterov": True}, {}]),
    ("SGD", {"lr": 0.1, "momentum": 0.5}, [{"lr": "linear"}, {"dampening": 0.2}]),
    ("Adam", {"lr": 0.05}, [{"betas": [0.5, 0.9]}, {"amsgrad": True, "weight_decay": 0.1}]),
    ("AdamW", {"lr": 0.02, "weight_decay": 0.3}, [{"weight_decay": 0.0}, {"lr": "linear"}]),
    ("RMSprop", {"lr": 0.02}, [{"momentum": 0.9, "lr": 0.01}, {"centered": True, "alpha": 0.9}]),
    ("Adagrad", {"lr": 0.1}, [{"lr_decay": 0.05, "lr": 0.3}, {"eps": 1e-3, "weight_decay": 0.1}]),
]
JOINING = [7, 30]
"""Before which steps the second and the third parameter are added, as groups."""
ADDED = [
    # the settings of all, and of each group, those of the first parameter first
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3}, [{}, {}, {"lr": 0.02}]),
    ("SGD", {"lr": 0.05}, [{}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.1}]),
    ("SGD", {"lr": "linear", "momentum": 0.5}, [{}, {}, {"lr": 0.03, "dampening": 0.2}]),
    ("Adam", {"lr": 0.05}, [{}, {"betas": [0.5, 0.9]}, {"amsgrad": True, "weight_decay": 0.1}]),
    ("Adam", {"lr": 0.05, "betas": [0.8, 0.99]}, [{}, {"lr": "linear"}, {"eps": 0.1}]),
    ("AdamW", {"lr": "linear", "weight_decay": 0.3}, [{"lr": 0.02}, {}, {"weight_decay": 0.0}]),
    ("RMSprop", {"lr": 0.02}, [{}, {"momentum": 0.9, "lr": 0.01}, {"centered": True}]),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.05}, [{}, {"lr": 0.3}, {"eps": 1e-3, "lr": "linear"}]),
    ("Adagrad", {"initial_accumulator_value": 0.5, "lr": 0.2}, [{}, {"weight_decay": 0.1}, {}]),
]
SCHEDULES = {
    # name, our arguments: rate at step 0 in PyTorch's optimiser, and the scheduler
    "linear": ([1.0, 0.1, 20], 1.0, lambda o: schedulers.LinearLR(o, 1.0, 0.1, 20)),
    "step": ([0.5, 7, 0.3], 0.5, lambda o: schedulers.StepLR(o, 7, 0.3)),
    "exponential": ([0.5, 0.9], 0.5, lambda o: schedulers.ExponentialLR(o, 0.9)),
    "cosine": ([0.5, 0.02, 29], 0.5, lambda o: schedulers.CosineAnnealingLR(o, 29, 0.02)),
    "one_cycle": ([0.5, 30], 1.0, lambda o: schedulers.OneCycleLR(o, 0.5, 30)),
    "one_cycle ": (
        [0.5, 30, 0.45, 10.0, 100.0],
        1.0,
        lambda o: schedulers.OneCycleLR(
            o, 0.5, 30, pct_start=0.45, div_factor=10.0, final_div_factor=100.0
        ),
    ),
    "warm_up": (
        [0.05, 8, 0.5],
        0.5,
        lambda o: schedulers.SequentialLR(
            o, [schedulers.LinearLR(o, 0.1, 1.0, 8), schedulers.ConstantLR(o, 1.0)], [8]
        ),
    ),
}
RESTARTS = {
    "warm_restarts": (
        [0.5, 0.02, 7],
        0.5,
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, 7, eta_min=0.02),
    ),
    "warm_restarts ": (
        [0.5, 0.0, 3, 2],
        0.5,
        lambda o: schedulers.CosineAnnealingWarmRestarts(o, 3, 2),
    ),
}
LOSSES = [3.0, 2.0, 2.0, 1.9999, 2.1, 2.0, 1.5, 1.4999, 1.6, 1.7, math.nan, 1.2, 1.3, 1.4, 1.2, 1.3]
LOSSES += [1.1999, 1.25, 1.2, 1.1, -0.5, -0.50001, -0.4, -0.6, -0.5, -0.5, -0.5, -0.5, -0.5, -0.5]
PLATEAUS = [
    {"patience": 1},
    {"patience": 0, "factor": 0.5},
    {"patience": 2, "factor": 0.3, "threshold": 0.01, "threshold_mode": "abs"},
    {"patience": 1, "factor": 0.5, "cooldown": 2},
    {"patience": 0, "factor": 0.5, "min_lr": 0.03},
    {"patience": 0, "factor": 0.5, "eps": 0.02},
    {"patience": 1, "factor": 0.5, "mode": "max"},
    {"patience": 2, "factor": 0.7, "mode": "max", "threshold_mode": "abs", "threshold": 0.1},
]
CLIPPING = [
    ("clip_grad_norm_", {"max_norm": 1.0}),
    ("clip_grad_norm_", {"max_norm": 100.0}),
    ("clip_grad_norm_", {"max_norm": 0.5, "norm_type": 1.0}),
    ("clip_grad_norm_", {"max_norm": 0.5, "norm_type": 3.5}),
    ("clip_grad_norm_", {"max_norm": 0.5, "norm_type": "inf"}),
    ("clip_grad_value_", {"clip_value": 0.75}),
]
GRADIENTS = [3.0, -0.5, 0.0, 1.25, -7.0]


def gradient(i: int, p: float, step: int) -> float:
    """Return the gradient of parameter i: a parabola's, and a noise that differs by step."""
    return (0.5, 3.0, 8.0)[i] * p - 0.2 + 0.3 * math.cos(1.7 * step + i)


def trajectory(
    name: str, arguments: dict, groups: list[dict] | None = None, joining: list[int] | None = None
) -> list[list[float]]:
    """Return the parameters after each of the steps KEPT; `joining` is when groups are added."""
    parameters = [torch.tensor(x, dtype=torch.float64, requires_grad=True) for x in START]
    settings = [{**arguments, **group} for group in groups or [{}]]
    linear = [group.get("lr") == "linear" for group in settings]
    first = {**arguments, "lr": 0.2} if arguments.get("lr") == "linear" else arguments
    of_groups = [parameters] if groups is None else [parameters[:1], parameters[1:]]
    if joining:
        of_groups = [[p] for p in parameters]
    listed = [
        {"params": inside, **group, **({"lr": 0.2} if falls else {})}
        for inside, group, falls in zip(of_groups, groups or [{}], linear, strict=True)
    ]
    later = dict(zip(joining or [], listed[1:], strict=False))
    optimizer = getattr(torch.optim, name)(listed[:1] if joining else listed, **first)

    def scheduled(steps: int) -> torch.optim.lr_scheduler.LRScheduler:
        """Return the schedule after a number of steps, of the groups that exist by then."""
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        falling = [
            (lambda k: (0.2 - 0.15 * min(k, 20) / 20) / 0.2) if falls else (lambda k: 1.0)
            for falls in linear[: len(optimizer.param_groups)]
        ]
        return torch.optim.lr_scheduler.LambdaLR(optimizer, falling, last_epoch=steps - 1)

    schedule = scheduled(0)
    points = []
    for step in range(STEPS):
        if step in later:
            optimizer.add_param_group(later[step])
            schedule = scheduled(step)
        held = [p for group in optimizer.param_groups for p in group["params"]]
        for i, p in enumerate(held):
            p.grad = torch.tensor(gradient(i, p.item(), step), dtype=torch.float64)
        optimizer.step()
        schedule.step()
        if step in KEPT:
            points.append([p.item() for p in parameters])
    return points


def rates(first: float, make: object) -> list[float]:
    """Return a scheduler's rates at 30 steps."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=first)
    scheduler = make(optimizer)
    seen = []
    for step in range(30):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < 29:
            scheduler.step()
    return seen


def reduced(arguments: dict) -> list[float]:
    """Return a rate after each of the LOSSES."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    schedule = schedulers.ReduceLROnPlateau(optimizer, **arguments)
    seen = []
    for loss in LOSSES:
        schedule.step(loss)
        seen.append(optimizer.param_groups[0]["lr"])
    return seen


def clipped(name: str, arguments: dict) -> dict:
    """Return the norm and the clipped gradients."""
    parameters = [torch.zeros((), dtype=torch.float64) for _ in GRADIENTS]
    for p, g in zip(parameters, GRADIENTS, strict=True):
        p.grad = torch.tensor(g, dtype=torch.float64)
    arguments = {k: math.inf if x == "inf" else x for k, x in arguments.items()}
    norm = getattr(torch.nn.utils, name)(parameters, **arguments)
    return {
        "norm": None if norm is None else norm.item(),
        "gradients": [p.grad.item() for p in parameters],
    }


if __name__ == "__main__":
    result = {
        "made by": f"PyTorch {torch.__version__}",
        "start": START,
        "kept": KEPT,
        "cases": [
            {"optimizer": name, "arguments": arguments, "trajectory": trajectory(name, arguments)}
            for name, arguments in CASES
        ],
        "groups": [
            {
                "optimizer": name,
                "groups": groups,
                "arguments": arguments,
                "trajectory": trajectory(name, arguments, groups),
            }
            for name, arguments, groups in GROUPS
        ],
        "joining": JOINING,
        "added": [
            {
                "optimizer": name,
                "groups": groups,
                "arguments": arguments,
                "trajectory": trajectory(name, arguments, groups, JOINING),
            }
            for name, arguments, groups in ADDED
        ],
        "schedules": [
            {"name": name.strip(), "arguments": arguments, "rates": rates(first, make)}
            for name, (arguments, first, make) in {**SCHEDULES, **RESTARTS}.items()
        ],
        "losses": LOSSES,
        "plateaus": [
            {"arguments": arguments, "rates": reduced(arguments)} for arguments in PLATEAUS
        ],
        "gradients": GRADIENTS,
        "clipping": [
            {"name": name, "arguments": arguments, **clipped(name, arguments)}
            for name, arguments in CLIPPING
        ],
    }
    text = json.dumps(result)
    # A line for each point.
    text = text.replace("], [", "],\n[").replace("}, {", "},\n{")
    Path(__file__).with_name("optim.json").write_text(text + "\n", encoding="utf-8")
