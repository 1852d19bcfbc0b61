"""Write losses.json: values and gradients of PyTorch's losses.

python -m venv torch && torch/bin/pip install torch numpy
torch/bin/python tests/reference/make_losses.py
"""

import json
from pathlib import Path

import torch
from torch.nn import functional

# No difference of 0, at which some have no derivative, but differences of huber_loss's delta.
NUMBERS = [0.3, -1.25, 2.5, 0.75, -4.0, 31.0, -40.0]
TARGETS = [1.0, 1.0, 0.5, -0.25, 0.0, 1.0, 0.25]
PROBABILITIES = [1.0, 0.0, 0.25, 1.0, 0.0, 1.0, 0.5]
ROWS = [
    [0.5, -1.0, 2.0, 0.25],
    [3.0, 3.5, 2.75, -8.0],
    [1000.0, 998.5, 0.0, 1001.0],
    [-0.1, 0.2, 0.3, -0.4],
    [-30.0, 40.0, 5.0, 5.25],
]
CLASSES = [2, 0, 3, 1, 0]
SOME_CLASSES = [2, -100, 3, 1, -100]
OF_CLASSES = [2.0, 0.5, 0.0, 1.25]
CASES = [
    ("mse_loss", {}),
    ("l1_loss", {}),
    ("huber_loss", {}),
    ("huber_loss", {"delta": 2.25}),
    ("binary_cross_entropy_with_logits", {}),
    ("binary_cross_entropy_with_logits", {"pos_weight": 2.5}),
    ("cross_entropy", {}),
    ("cross_entropy", {"label_smoothing": 0.1}),
    ("cross_entropy", {"label_smoothing": 1.0}),
    ("nll_loss", {}),
    *[
        (name, {**arguments, **smoothing})
        for arguments in (
            {"weight": OF_CLASSES},
            {"ignore_index": 0},
            {"ignore_index": -100},
            {"ignore_index": 3, "weight": OF_CLASSES},
        )
        for name, smoothing in (
            ("cross_entropy", {}),
            ("cross_entropy", {"label_smoothing": 0.1}),
            ("nll_loss", {}),
        )
    ],
    ("multi_margin_loss", {}),
    ("multi_margin_loss", {"margin": 0.5}),
]
WEIGHTS = [0.5, -1.5, 2.0, 3.0, 1.0, -0.25, 0.75]


def inputs(name: str, arguments: dict) -> tuple[list, list]:
    """Return predictions and targets."""
    if name in {"cross_entropy", "nll_loss", "multi_margin_loss"}:
        return ROWS, SOME_CLASSES if arguments.get("ignore_index") == -100 else CLASSES
    return NUMBERS, PROBABILITIES if name.startswith("binary") else TARGETS


def figures(name: str, arguments: dict) -> dict:
    """Return the loss and its gradient for each reduction; "none" has a weighted sum's."""
    result = {}
    for reduction in ("mean", "sum", "none"):
        numbers, targets = inputs(name, arguments)
        x = torch.tensor(numbers, dtype=torch.float64, requires_grad=True)
        kind = torch.float64 if numbers is NUMBERS else torch.int64
        y = torch.tensor(targets, dtype=kind)
        given = {
            key: torch.tensor(setting, dtype=torch.float64) if "weight" in key else setting
            for key, setting in arguments.items()
        }
        loss = getattr(functional, name)(x, y, reduction=reduction, **given)
        weights = torch.tensor(WEIGHTS[: len(numbers)], dtype=torch.float64)
        (loss @ weights if reduction == "none" else loss).backward()
        result[reduction] = {"loss": loss.tolist(), "gradient": x.grad.tolist()}
    return result


def figures_of_rows() -> dict:
    """Return a loss of rows of scores with a weight for each place, and its gradient."""
    scores, targets, weights = ROWS[1:2] + ROWS[3:], [[1.0, 0.0, 0.25, 1.0]] * 3, OF_CLASSES
    x, y, w = (torch.tensor(n, dtype=torch.float64) for n in (scores, targets, weights))
    x.requires_grad_()
    loss = functional.binary_cross_entropy_with_logits(x, y, pos_weight=w)
    loss.backward()
    return {
        "scores": scores,
        "targets": targets,
        "pos_weight": weights,
        "loss": loss.item(),
        "gradient": x.grad.tolist(),
    }


if __name__ == "__main__":
    result = {
        "made by": f"PyTorch {torch.__version__}",
        "weights": WEIGHTS,
        "rows": figures_of_rows(),
        "cases": [
            {
                "name": name,
                "arguments": arguments,
                "inputs": inputs(name, arguments),
                "figures": figures(name, arguments),
            }
            for name, arguments in CASES
        ],
    }
    text = json.dumps(result).replace("}, {", "},\n{").replace('"figures"', '\n"figures"')
    Path(__file__).with_name("losses.json").write_text(text + "\n", encoding="utf-8")
