"""Conv2d, MaxPool2d and Flatten, for images as nested lists (channels, height, width)."""

import math
from collections.abc import Sequence
from typing import Any

from liftgrad.functional import dot, where
from liftgrad.init import pytorch
from liftgrad.nn.checks import check_length, check_size
from liftgrad.nn.module import Module
from liftgrad.nn.nested import numbers, sample, values

Pair = tuple[int, int]


class Conv2d(Module):
    """A window of weights that slides over an image; PyTorch's `Conv2d`.

    Weights (out_channels, in_channels / groups, *kernel_size), and biases, are drawn from U(-s, s),
    where a window has 1/s² weights. `padding` is a number of zeros (names and other values of
    `padding_mode` do not exist); sizes are one number, or one for rows and one for columns.

    >>> layer = Conv2d(1, 1, kernel_size=2)
    >>> layer.load_state_dict({"weight": [[[[1.0, 0.0], [0.0, 1.0]]]], "bias": [0.5]})
    >>> (rows,) = layer([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    >>> [[pixel.data for pixel in row] for row in rows]
    [[6.5, 8.5]]

    Raises:
        ValueError: if a size is not positive or the groups do not divide the channels, or at a
            call, if the image has another number of channels or is smaller than a window.

    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Pair,
        stride: int | Pair = 1,
        padding: int | Pair = 0,
        dilation: int | Pair = 1,
        groups: int = 1,
        bias: bool = True,
    ) -> None:
        for size, what in (
            (in_channels, "channels"),
            (out_channels, "channels"),
            (groups, "groups"),
        ):
            check_size(size, what)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{groups} groups do not divide {in_channels} and {out_channels} channels; pass a "
                "number that divides both."
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = _pair(kernel_size, "rows or columns in a window")
        self.stride = _pair(stride, "pixels of stride")
        self.padding = _pair(padding, "pixels of padding", least=0)
        self.dilation = _pair(dilation, "pixels of dilation")
        shape = (out_channels, in_channels // groups, *self.kernel_size)

        def draw() -> float:
            return pytorch(math.prod(shape[1:]), out_channels)

        self.weight = values(shape, draw)
        self.bias = values((out_channels,), draw) if bias else None

    def forward(self, x: Any) -> list[list[list[Any]]]:
        """Return (out_channels, height', width') for an image (in_channels, height, width)."""
        pixels = _image(x, "Conv2d")
        image = _padded(pixels, self.padding)
        check_length(image, self.in_channels, "Conv2d", "channels")
        rows, columns = _corners(image, self.kernel_size, self.stride, self.dilation)
        per_group = self.in_channels // self.groups
        # All output channels of a group see the same windows: cut them out once.
        seen = [
            [
                [
                    _window(image[c : c + per_group], i, j, self.kernel_size, self.dilation)
                    for j in columns
                ]
                for i in rows
            ]
            for c in range(0, self.in_channels, per_group)
        ]
        # The result for windows of padding only, of the same type as the others.
        nothing = where(True, where(True, 0.0, self.weight[0][0][0][0]), pixels[0][0][0])
        biases = self.bias or [None] * self.out_channels
        result = []
        for channel, (weight, b) in enumerate(zip(self.weight, biases, strict=True)):
            flat = numbers(weight)
            windows = seen[channel * self.groups // self.out_channels]
            result.append([[_sum(flat, window, b, nothing) for window in row] for row in windows])
        return result

    def extra_repr(self) -> str:
        """Return the arguments.

        >>> Conv2d(1, 8, 3, padding=1).extra_repr()
        '1, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)'
        """
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        for name, usual in (("padding", (0, 0)), ("dilation", (1, 1)), ("groups", 1)):
            if getattr(self, name) != usual:
                text += f", {name}={getattr(self, name)}"
        return text if self.bias is not None else text + ", bias=False"


class MaxPool2d(Module):
    """The largest number in each window of each channel; PyTorch's `MaxPool2d`.

    The gradient goes to the first of several equal numbers, and nan counts as largest, as in
    PyTorch. `stride` defaults to the window's size; there is no `dilation`, `ceil_mode` or
    `return_indices`.

    >>> MaxPool2d(2)([[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]]])
    [[[4.0, 8.0]]]

    Raises:
        ValueError: if a size is not positive or padding is more than half a window, or at a call,
            if the image is smaller than a window.

    """

    def __init__(
        self, kernel_size: int | Pair, stride: int | Pair | None = None, padding: int | Pair = 0
    ) -> None:
        self.kernel_size = _pair(kernel_size, "rows or columns in a window")
        self.stride = _pair(kernel_size if stride is None else stride, "pixels of stride")
        self.padding = _pair(padding, "pixels of padding", least=0)
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise ValueError(
                f"padding {self.padding} is more than half of a window {self.kernel_size}; "
                "pad less."
            )

    def forward(self, x: Any) -> list[list[list[Any]]]:
        """Return (channels, height', width') for an image (channels, height, width)."""
        image = _padded(_image(x, "MaxPool2d"), self.padding)
        rows, columns = _corners(image, self.kernel_size, self.stride, (1, 1))
        return [
            [
                [
                    _first_largest(_window([channel], i, j, self.kernel_size, (1, 1)))
                    for j in columns
                ]
                for i in rows
            ]
            for channel in image
        ]

    def extra_repr(self) -> str:
        """Return the arguments.

        >>> MaxPool2d(2).extra_repr()
        'kernel_size=(2, 2), stride=(2, 2), padding=(0, 0)'
        """
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class Flatten(Module):
    """All numbers of nested lists in one list, the last index varying fastest.

    >>> Flatten()([[[1.0, 2.0], [3.0, 4.0]]])
    [1.0, 2.0, 3.0, 4.0]
    """

    def forward(self, x: Any) -> list[Any]:
        """Return the numbers."""
        return numbers(x)


def _pair(size: int | Pair, what: str, least: int = 1) -> Pair:
    a, b = size if isinstance(size, tuple | list) else (size, size)
    for number in (a, b):
        if not hasattr(number, "__index__") or number < least:
            raise ValueError(f"a layer cannot have {number} {what}; pass {least} or more.")
    return int(a), int(b)


def _image(x: Any, layer: str) -> list[list[list[Any]]]:
    image: list[list[list[Any]]] = sample(x, layer, "channels", "height", "width")
    if len({len(row) for channel in image for row in channel}) != 1 or (
        len({len(channel) for channel in image}) != 1
    ):
        raise ValueError(
            f"{layer} got an image without pixels, or with rows or columns of different lengths; "
            "pass lists of equal lengths."
        )
    return image


def _padded(image: list[list[list[Any]]], padding: Pair) -> list[list[list[Any]]]:
    """Return the image with a border of None."""
    above, beside = padding
    result = []
    for channel in image:
        width = len(channel[0]) + 2 * beside
        rows = [[None] * beside + row + [None] * beside for row in channel]
        border = [[None] * width for _ in range(above)]
        result.append([*border, *rows, *border])
    return result


def _corners(
    image: list[list[list[Any]]], size: Pair, stride: Pair, dilation: Pair
) -> tuple[Sequence[int], Sequence[int]]:
    """Return the first row and the first column of each window."""
    extents = len(image[0]), len(image[0][0])
    spans = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    if any(span > extent for span, extent in zip(spans, extents, strict=True)):
        raise ValueError(
            f"an image of {extents[0]} rows and {extents[1]} columns, with its padding, is smaller "
            f"than a window of {spans[0]} by {spans[1]}; pass a larger image, or pad it."
        )
    rows, columns = (
        range(0, extent - span + 1, step)
        for extent, span, step in zip(extents, spans, stride, strict=True)
    )
    return rows, columns


def _window(
    channels: list[list[list[Any]]], i: int, j: int, size: Pair, dilation: Pair
) -> list[Any]:
    return [
        channel[i + a * dilation[0]][j + b * dilation[1]]
        for channel in channels
        for a in range(size[0])
        for b in range(size[1])
    ]


def _sum(weights: list[Any], window: list[Any], bias: Any, nothing: Any) -> Any:
    """Return bias + Σ weight·x over the pixels of a window that are not padding.

    Products with padded zeros would be operations unlike the others, so that neither these windows
    nor what is computed from them would roll up with the rest. A window without pixels and without
    a bias has the result `nothing`.
    """
    seen = [(w, x) for w, x in zip(weights, window, strict=True) if x is not None]
    if not seen and bias is None:
        return nothing
    return dot([w for w, _ in seen], [x for _, x in seen], start=bias)


def _first_largest(window: list[Any]) -> Any:
    """Return the first of the largest numbers; selected, so that it gets all of the gradient."""
    best, *rest = (x for x in window if x is not None)  # None is padding
    for x in rest:
        best = where((x > best) | (x != x), x, best)  # noqa: PLR0124, the test for nan
    return best
