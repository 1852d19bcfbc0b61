"""Histograms of a model's activations, or of their gradients, for each layer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from liftgrad.derivatives import grad
from liftgrad.errors import LiftError
from liftgrad.lift.function import lift
from liftgrad.lift.stand_ins.vmap import vmap
from liftgrad.nn import Module
from liftgrad.numbers import plain
from liftgrad.plot.axes import axes_of
from liftgrad.plot.layers import with_outputs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
_BINS = 80
_FILL, _LINE = "#afc3de", "#12305f"


def distributions(
    model: Module,
    X: Any,
    y: Any = None,
    ax: "Axes | None" = None,
    *,
    of: Literal["activations", "gradients"] = "activations",
    loss: Callable[[Any, Any], Any] | None = None,
    title: str = "",
    size: tuple[float, float] | None = None,
) -> "Distributions":
    """Draw a histogram for each layer, over all samples and units.

    Numbers that are exactly 0, as many of a ReLU's are, are counted in the text beside the
    histogram, not in it. Gradients are shown by their absolute values, on a logarithmic scale. A
    unit whose output is 0 for all samples is dead: it learns nothing from them.

    >>> from liftgrad import nn
    >>> model = nn.MLP(2, [4, 1])
    >>> shown = distributions(model, [[0.0, 1.0], [1.0, 0.0]])
    >>> {name: array.shape for name, array in shown.numbers.items()}
    {'layers.0': (2, 4), 'layers.1': (2, 1)}

    Args:
        model: its layers are its innermost modules above neurons, such as each `nn.Layer`.
        X: samples, (n, ...).
        y: their targets, (n, ...), for gradients.
        ax: where to draw; by default, a new figure.
        of: "activations", the layers' outputs, or "gradients", the derivatives of each sample's
            loss with respect to them.
        loss: for gradients, a function of an output of the model and a target, such as
            `losses.cross_entropy`.
        title: above the picture.
        size: of a new figure, width and height in inches.

    Raises:
        ValueError: if an argument is invalid, or a result is not finite.

    """
    X = np.asarray(X)
    if not X.ndim or not len(X):
        raise ValueError(f"samples of shape {X.shape}; pass one or more, (n, ...).")
    if of not in ("activations", "gradients"):
        raise ValueError(f"of={of!r}: choose 'activations' or 'gradients'.")
    uses = _activations(model, X)
    if of == "gradients":
        if y is None or loss is None:
            raise ValueError(
                "gradients need targets y and the loss of an output and a target; pass them, such "
                "as loss=losses.cross_entropy."
            )
        y = np.asarray(y)
        if y.shape[:1] != X.shape[:1]:
            raise ValueError(f"{len(X)} samples and targets of shape {y.shape}; pass one for each.")
        uses = _gradients(model, X, y, loss, uses)
    numbers = {name: _merged(arrays) for name, arrays in uses.items()}
    for name, array in numbers.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{of} of {name} are not finite; train the model at a smaller rate.")
    return Distributions(numbers, of).plot(ax, title=title, size=size)


def _activations(model: Module, X: NDArray[Any]) -> dict[str, list[Array]]:
    """Return each layer's outputs, (n, units) for each of its uses."""

    def outputs(x: Any) -> dict[str, Any]:
        seen: dict[str, Any] = {}

        def note(name: str, output: Any) -> Any:
            seen.setdefault(name, []).append(_flat(output))
            return output

        with_outputs(model, note)(x)
        return seen

    return _of_samples(outputs, X)


def _gradients(
    model: Module,
    X: NDArray[Any],
    y: NDArray[Any],
    loss: Callable[[Any, Any], Any],
    activations: dict[str, list[Array]],
) -> dict[str, list[Array]]:
    """Return the derivatives with respect to zeros that are added to the layers' outputs."""
    zeros = {name: [[0.0] * use.shape[1] for use in uses] for name, uses in activations.items()}

    def derivatives(x: Any, target: Any) -> Any:
        def of(added: dict[str, Any]) -> Any:
            rest = {name: iter(uses) for name, uses in added.items()}

            def note(name: str, output: Any) -> Any:
                return _plus(output, iter(next(rest[name])))

            return loss(with_outputs(model, note)(x), target)

        return grad(of)(zeros)

    return _of_samples(derivatives, X, y)


def _of_samples(function: Callable[..., Any], *arrays: Any) -> dict[str, list[Array]]:
    """Return, for each list of numbers that the function returns for a sample, (n, length)."""

    def of_all(*arrays: Any) -> Any:
        return vmap(function)(*arrays)

    try:
        found = lift(of_all)(*arrays)
    except LiftError:  # a model that cannot be lifted is called sample by sample
        samples = zip(*(array.tolist() for array in arrays), strict=True)
        rows = [function(*sample) for sample in samples]
        return {
            name: [
                np.array([[plain(x) for x in row[name][i]] for row in rows])
                for i in range(len(uses))
            ]
            for name, uses in rows[0].items()
        }
    return {name: [np.column_stack(units) for units in uses] for name, uses in found.items()}


def _merged(uses: list[Array]) -> Array:
    """Return a layer's uses as more samples of its units, or, if shapes differ, as more units."""
    return np.concatenate(uses, axis=0 if len({use.shape for use in uses}) == 1 else 1)


def _flat(output: Any) -> list[Any]:
    if isinstance(output, list | tuple):
        return [number for item in output for number in _flat(item)]
    return [output]


def _plus(output: Any, added: Any) -> Any:
    """Return a number, or nested lists of numbers, plus the next added numbers."""
    if isinstance(output, list | tuple):
        return [_plus(item, added) for item in output]
    return output + next(added)


@dataclass
class Distributions:
    """The result of `distributions`: the numbers and the drawing.

    >>> from liftgrad import nn
    >>> shown = distributions(nn.MLP(2, [4, 1]), [[0.0, 1.0], [1.0, 0.0]])
    >>> shown.of, list(shown.numbers)
    ('activations', ['layers.0', 'layers.1'])
    """

    numbers: dict[str, Array]
    """Activations or gradients, (n, units), by layer, in the order of their computation.

    A layer that is used k times for a sample, as a convolution is, has (k·n, units).
    """
    of: str
    """"activations" or "gradients"."""
    ax_: "Axes | None" = None
    """The axes drawn on."""
    figure_: "Figure | None" = None
    """The axes' figure, to be written to a file with `liftgrad.plot.save`."""

    @property
    def dead(self) -> dict[str, NDArray[np.int64]]:
        """The indices of the units that are 0 for all samples, by layer.

        >>> from liftgrad import nn
        >>> model = nn.Sequential(nn.Linear(1, 2), nn.ReLU())
        >>> model.load_state_dict({"0.weight": [[1.0], [-1.0]], "0.bias": [0.0, 0.0]})
        >>> distributions(model, [[1.0], [2.0]]).dead["1"].tolist()
        [1]
        """
        return {name: np.flatnonzero(~x.any(axis=0)) for name, x in self.numbers.items()}

    def plot(
        self,
        ax: "Axes | None" = None,
        *,
        title: str = "",
        size: tuple[float, float] | None = None,
    ) -> Self:
        """Draw; the arguments are those of `distributions`.

        >>> from liftgrad import nn
        >>> shown = distributions(nn.MLP(2, [4, 1]), [[0.0, 1.0], [1.0, 0.0]])
        >>> shown.plot(title="Again").ax_.get_title()
        'Again'
        """
        count = len(self.numbers)
        (ax,) = axes_of(ax, ["histograms"], size or (6.4, 1.0 + 0.85 * count))
        self.ax_, self.figure_ = ax, ax.get_figure(root=True)
        # Gradients differ by orders of magnitude between layers and samples.
        signed = self.of == "activations"
        shown = {
            name: x[x != 0.0] if signed else np.log10(np.abs(x[x != 0.0]))
            for name, x in self.numbers.items()
        }
        edges = np.histogram_bin_edges(np.concatenate([np.zeros(0), *shown.values()]), _BINS)
        at = edges if signed else 10.0**edges
        for i, name in enumerate(self.numbers):
            counts, _ = np.histogram(shown[name], edges)
            heights = 0.85 * counts / max(counts.max(), 1) - i
            ax.stairs(heights, at, baseline=-i, fill=True, color=_FILL, zorder=2)
            ax.stairs(heights, at, baseline=-i, color=_LINE, label=name, zorder=3)
            beside = ax.get_yaxis_transform()
            ax.text(1.02, 0.4 - i, self._text(name), transform=beside, va="center", size="small")
        if signed:
            ax.axvline(0.0, color="black", linewidth=0.8, linestyle=":", zorder=0)
            ax.set_xlabel("activation")
        else:
            ax.set_xscale("log")
            ax.set_xlabel("size of the gradient with respect to the layer's output")
        ax.set_yticks([-i for i in range(count)], list(self.numbers))
        ax.tick_params(axis="y", length=0.0)
        ax.set(xlim=(at[0], at[-1]), ylim=(0.9 - count, 1.0))
        ax.spines[["left", "right", "top"]].set_visible(False)
        if title:
            ax.set_title(title)
        return self

    def _text(self, name: str) -> str:
        """Return the text beside a layer's histogram."""
        numbers, dead = self.numbers[name], len(self.dead[name])
        zeros = np.mean(numbers == 0.0)
        if self.of == "gradients":
            lines = [f"rms {np.sqrt(np.mean(numbers**2)):.2g}"]
        else:
            lines = [f"mean {numbers.mean():.2g}", f"std {numbers.std():.2g}"]
        if zeros:
            lines.append(f"{zeros:.0%} are 0")
        if dead:
            unit = "dead" if self.of == "activations" else "without gradient"
            lines.append(f"{dead} of {numbers.shape[1]} units {unit}")
        return "\n".join(lines)
