"""Write layers.json: outputs and gradients of PyTorch's layers in float64.

python -m venv torch && torch/bin/pip install torch numpy
torch/bin/python tests/reference/make_layers.py

The loss is the sum over the outputs, each times its own weight from `weights`.
"""

import json
from pathlib import Path

import torch
from torch import nn

# name of ours, arguments, PyTorch's name and arguments where they differ, shape of the input
CASES = [
    ("Linear", [3, 2], {}, None, (3,)),
    ("Linear", [3, 2], {"bias": False}, None, (2, 4, 3)),
    ("Embedding", [5, 3], {}, None, [[4, 0, 2], [2, 2, 1]]),
    ("LayerNorm", [5], {}, None, (5,)),
    ("LayerNorm", [4], {"eps": 0.1, "bias": False}, None, (3, 4)),
    ("LayerNorm", [4], {"elementwise_affine": False}, None, (4,)),
    ("RMSNorm", [5], {}, None, (2, 5)),
    ("RMSNorm", [4], {"eps": 0.1, "elementwise_affine": False}, None, (4,)),
    ("Conv2d", [2, 3, 3], {}, None, (2, 5, 4)),
    ("Conv2d", [1, 2, [2, 3]], {"stride": [1, 2], "padding": [1, 2]}, None, (1, 3, 4)),
    ("Conv2d", [4, 6, 2], {"groups": 2, "dilation": [2, 1], "bias": False}, None, (4, 4, 3)),
    ("Conv2d", [2, 2, 3], {"stride": 2, "padding": 1, "dilation": 2}, None, (2, 5, 6)),
    ("MaxPool2d", [2], {}, None, (2, 5, 4)),
    ("MaxPool2d", [[3, 2]], {"stride": [2, 1], "padding": 1}, None, (1, 4, 5)),
    ("RNN", [3, 2], {}, None, (4, 3)),
    ("RNN", [2, 3], {"num_layers": 2, "nonlinearity": "relu", "bias": False}, None, (3, 2)),
    ("GRU", [3, 2], {}, None, (4, 3)),
    ("GRU", [2, 3], {"num_layers": 2, "bias": False}, None, (3, 2)),
    ("LSTM", [3, 2], {}, None, (4, 3)),
    ("LSTM", [2, 3], {"num_layers": 2, "bias": False}, None, (3, 2)),
    ("CausalSelfAttention", [4, 2], {}, ("MultiheadAttention", [4, 2], {}), (5, 4)),
    (
        "CausalSelfAttention",
        [6, 3],
        {"bias": False},
        ("MultiheadAttention", [6, 3], {"bias": False}),
        (3, 6),
    ),
    (
        "TransformerBlock",
        [4, 2],
        {},
        ("TransformerEncoderLayer", [4, 2, 16, 0.0, "gelu"], {"norm_first": True}),
        (5, 4),
    ),
    (
        "TransformerBlock",
        [4, 1, 6],
        {"activation": "relu", "bias": False},
        ("TransformerEncoderLayer", [4, 1, 6, 0.0], {"norm_first": True, "bias": False}),
        (3, 4),
    ),
    ("ReLU", [], {}, None, (4,)),
    ("LeakyReLU", [0.2], {}, None, (4,)),
    ("ELU", [1.5], {}, None, (2, 4)),
    ("GELU", [], {}, None, (4,)),
    ("SiLU", [], {}, None, (4,)),
    ("Tanh", [], {}, None, (4,)),
    ("Sigmoid", [], {}, None, (4,)),
    ("Softplus", [], {}, None, (4,)),
    ("Softmax", [], {}, ("Softmax", [], {"dim": -1}), (2, 4)),
    ("LogSoftmax", [], {}, ("LogSoftmax", [], {"dim": -1}), (2, 4)),
    ("Identity", [], {}, None, (4,)),
    ("Flatten", [], {}, ("Flatten", [], {"start_dim": 0}), (2, 3, 2)),
]


def called(layer: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    """Return a layer's outputs for one sample, as a flat list."""
    mask = nn.Transformer.generate_square_subsequent_mask(len(x), dtype=torch.float64)
    if isinstance(layer, nn.MultiheadAttention):
        return [layer(x, x, x, attn_mask=mask, need_weights=False)[0]]
    if isinstance(layer, nn.TransformerEncoderLayer):
        return [layer(x, src_mask=mask, is_causal=True)]
    result = layer(x)
    if isinstance(layer, nn.LSTM):
        return [result[0], *result[1]]
    return list(result) if isinstance(result, tuple) else [result]


def pairs(arguments: list) -> list:
    """Return arguments with lists as tuples."""
    return [tuple(a) if isinstance(a, list) else a for a in arguments]


def figures(name: str, arguments: list, options: dict, torchs: tuple | None, shape) -> dict:
    """Return one case: input, parameters, outputs and gradients."""
    kind, given, keywords = torchs or (name, arguments, options)
    keywords = dict(zip(keywords, pairs(list(keywords.values())), strict=True))
    layer = getattr(nn, kind)(*pairs(given), **keywords).to(torch.float64)
    for parameter in layer.parameters():  # also those that are 0 or 1 at first
        nn.init.uniform_(parameter, -1.0, 1.0)
    if isinstance(shape, tuple):
        x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    else:
        x = torch.tensor(shape)
    outputs = called(layer, x)
    weights = [torch.randn(y.shape, dtype=torch.float64) for y in outputs]
    sum((y * w).sum() for y, w in zip(outputs, weights, strict=True)).backward()
    return {
        "name": name,
        "arguments": arguments,
        "options": options,
        "x": x.tolist(),
        "state": {n: p.tolist() for n, p in layer.state_dict().items()},
        "outputs": [y.tolist() for y in outputs],
        "weights": [w.tolist() for w in weights],
        "x gradient": x.grad.tolist() if x.requires_grad else None,
        "gradients": {n: p.grad.tolist() for n, p in layer.named_parameters()},
    }


if __name__ == "__main__":
    torch.manual_seed(5)
    result = {
        "made by": f"PyTorch {torch.__version__}",
        "cases": [figures(*case) for case in CASES],
    }
    text = json.dumps(result).replace('{"name"', '\n{"name"')
    Path(__file__).with_name("layers.json").write_text(text + "\n", encoding="utf-8")
