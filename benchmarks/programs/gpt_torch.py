"""The same character transformer with PyTorch, eagerly."""

import sys
from typing import Any

import torch
from common import fastest, report, texts, transformer

torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)

WIDTH, HEADS = 16, 4


def normalised(x: Any) -> Any:
    """Return x divided by its root mean square."""
    return x * ((x * x).mean(-1, keepdim=True) + 1e-5) ** -0.5


def loss(p: dict[str, Any], tokens: Any, weights: Any) -> Any:
    """Return the weighted surprise of a text."""
    length = len(weights)
    x = normalised(p["token"][tokens[:-1]] + p["position"])
    y = normalised(x)
    q, k, v = (
        (y @ p[name].T).reshape(length, HEADS, -1).transpose(0, 1)
        for name in ("query", "key", "value")
    )
    attended = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    x = x + attended.transpose(0, 1).reshape(length, WIDTH) @ p["mix"].T
    x = x + torch.relu(normalised(x) @ p["expand"].T) @ p["contract"].T
    surprise = torch.nn.functional.cross_entropy(x @ p["head"].T, tokens[1:], reduction="none")
    return (surprise * weights).sum()


def main(block: int) -> None:
    """Take steps of Adam, a text each."""
    parameters = {
        name: torch.tensor(x, requires_grad=True) for name, x in transformer(block).items()
    }
    tokens, weights = (torch.tensor(x) for x in texts(block))
    adam = torch.optim.Adam(parameters.values(), lr=0.01, betas=(0.85, 0.99))

    def steps() -> float:
        total = torch.zeros(())
        for text, weight in zip(tokens, weights, strict=True):
            adam.zero_grad()
            total = loss(parameters, text, weight)
            total.backward()
            adam.step()
        return float(total)

    check = steps()
    report(check, fastest(steps) / len(tokens))


if __name__ == "__main__":
    main(int(sys.argv[1]))
