"""RNN, GRU and LSTM: recurrent networks.

Arguments, names, layout and results are PyTorch's, for one sequence, (length, input_size); without
`bidirectional`, `proj_size`, `batch_first` and `dropout` between layers.
"""

from collections.abc import Sequence
from typing import Any

from liftgrad.functional import dot, relu, sigmoid, tanh
from liftgrad.init import pytorch
from liftgrad.nn.checks import check_length, check_name, check_size
from liftgrad.nn.module import Module
from liftgrad.nn.nested import sample, values

Vector = list[Any]


class _Recurrent(Module):
    """Layers of `hidden_size` neurons, each with `gates` rows of weights for each neuron.

    All weights and biases are drawn from U(-s, s) with s² = 1/hidden_size.
    """

    gates = 1

    def __init__(
        self, input_size: int, hidden_size: int, num_layers: int = 1, bias: bool = True
    ) -> None:
        check_size(input_size, "inputs")
        check_size(hidden_size, "neurons")
        check_size(num_layers, "layers inside it")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bias = num_layers, bias
        rows = self.gates * hidden_size

        def draw() -> float:
            return pytorch(hidden_size, hidden_size)

        for layer in range(num_layers):
            inputs = hidden_size if layer else input_size
            vars(self)[f"weight_ih_l{layer}"] = values((rows, inputs), draw)
            vars(self)[f"weight_hh_l{layer}"] = values((rows, hidden_size), draw)
            if bias:
                vars(self)[f"bias_ih_l{layer}"] = values((rows,), draw)
                vars(self)[f"bias_hh_l{layer}"] = values((rows,), draw)

    def _terms(self, kind: str, layer: int, x: Vector) -> list[Vector]:
        """Return the terms of each gate that depend on the inputs ("ih") or the state ("hh")."""
        weight = getattr(self, f"weight_{kind}_l{layer}")
        biases = getattr(self, f"bias_{kind}_l{layer}") if self.bias else [None] * len(weight)
        if all(type(number) is float and number == 0.0 for number in x):
            # The initial state: products with 0 would be operations unlike those of later steps.
            weight, x = [()] * len(weight), []
        sums = [dot(row, x, start=b) for row, b in zip(weight, biases, strict=True)]
        size = self.hidden_size
        return [sums[i : i + size] for i in range(0, len(sums), size)]

    def _step(self, layer: int, x: Vector, state: Vector, cell: Vector) -> tuple[Vector, Vector]:
        """Return a layer's hidden state and cell state after an input."""
        raise NotImplementedError

    def _run(
        self, x: Sequence[Any], states: Any, cells: Any
    ) -> tuple[list[Vector], list[Vector], list[Vector]]:
        """Return the last layer's state after each input, and all layers' final states."""
        zeros = [[0.0] * self.hidden_size for _ in range(self.num_layers)]
        states = zeros if states is None else [list(s) for s in states]
        cells = zeros if cells is None else [list(c) for c in cells]
        for name, given in (("h_0", states), ("c_0", cells)):
            if [len(row) for row in given] != [self.hidden_size] * self.num_layers:
                raise ValueError(
                    f"{type(self).__name__} starts from {name} of shape ({self.num_layers}, "
                    f"{self.hidden_size}); pass a list for each layer."
                )
        outputs = sample(x, type(self).__name__, "length", "input_size")
        for row in outputs:
            check_length(row, self.input_size, type(self).__name__, "numbers at each step")
        finals, final_cells = [], []
        for layer, (state, cell) in enumerate(zip(states, cells, strict=True)):
            for i, row in enumerate(outputs):
                state, cell = self._step(layer, row, state, cell)  # noqa: PLW2901
                outputs[i] = state
            finals.append(state)
            final_cells.append(cell)
        return outputs, finals, final_cells

    def extra_repr(self) -> str:
        """Return the arguments.

        >>> GRU(2, 3, num_layers=2).extra_repr()
        '2, 3, num_layers=2'
        """
        layers = f", num_layers={self.num_layers}" if self.num_layers > 1 else ""
        return f"{self.input_size}, {self.hidden_size}{layers}" + (
            "" if self.bias else ", bias=False"
        )


class RNN(_Recurrent):
    """h' = tanh(W_ih·x + b_ih + W_hh·h + b_hh) (Elman, 1990); relu with nonlinearity="relu".

    >>> outputs, states = RNN(2, 3)([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    >>> len(outputs), len(outputs[0]), len(states)
    (3, 3, 1)

    Raises:
        ValueError: if a size is not positive or the nonlinearity unknown, or at a call, if an
            input or a state has another size.

    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
    ) -> None:
        check_name(nonlinearity, {"tanh": tanh, "relu": relu}, "nonlinearity")
        super().__init__(input_size, hidden_size, num_layers, bias)
        self.nonlinearity = nonlinearity

    def forward(self, x: Sequence[Any], h_0: Any = None) -> tuple[list[Vector], list[Vector]]:
        """Return the outputs (length, hidden_size) and h_n (num_layers, hidden_size).

        Args:
            x: the inputs, (length, input_size).
            h_0: the states to start from, (num_layers, hidden_size); None: 0.

        """
        outputs, states, _ = self._run(x, h_0, None)
        return outputs, states

    def _step(self, layer: int, x: Vector, state: Vector, cell: Vector) -> tuple[Vector, Vector]:
        act = tanh if self.nonlinearity == "tanh" else relu
        (seen,), (remembered,) = self._terms("ih", layer, x), self._terms("hh", layer, state)
        return [act(a + b) for a, b in zip(seen, remembered, strict=True)], cell


class GRU(_Recurrent):
    """Gated recurrent units (Cho et al., 2014), their gates in PyTorch's order r, z, n.

    r = σ(W_ir·x + b_ir + W_hr·h + b_hr), z likewise, n = tanh(W_in·x + b_in + r·(W_hn·h + b_hn)),
    h' = (1 - z)·n + z·h.

    >>> outputs, states = GRU(2, 3, num_layers=2)([[1.0, 0.0], [0.0, 1.0]])
    >>> len(outputs), len(outputs[0]), len(states)
    (2, 3, 2)

    Raises:
        ValueError: if a size is not positive, or at a call, if an input or a state has another
            size.

    """

    gates = 3

    def forward(self, x: Sequence[Any], h_0: Any = None) -> tuple[list[Vector], list[Vector]]:
        """Return the outputs (length, hidden_size) and h_n (num_layers, hidden_size).

        Args:
            x: the inputs, (length, input_size).
            h_0: the states to start from, (num_layers, hidden_size); None: 0.

        """
        outputs, states, _ = self._run(x, h_0, None)
        return outputs, states

    def _step(self, layer: int, x: Vector, state: Vector, cell: Vector) -> tuple[Vector, Vector]:
        seen, remembered = self._terms("ih", layer, x), self._terms("hh", layer, state)
        result = []
        for ir, iz, new, hr, hz, hn, h in zip(*seen, *remembered, state, strict=True):
            reset, keep = sigmoid(ir + hr), sigmoid(iz + hz)
            candidate = tanh(new + reset * hn)
            result.append((1.0 - keep) * candidate + keep * h)
        return result, cell


class LSTM(_Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997), gates in PyTorch's order i, f, g, o.

    i = σ(W_ii·x + b_ii + W_hi·h + b_hi), f and o likewise, g likewise with tanh,
    c' = f·c + i·g, h' = o·tanh(c').

    >>> outputs, (h_n, c_n) = LSTM(2, 3)([[1.0, 0.0], [0.0, 1.0]])
    >>> len(outputs), len(outputs[0]), len(h_n[0]), len(c_n[0])
    (2, 3, 3, 3)

    Raises:
        ValueError: if a size is not positive, or at a call, if an input or a state has another
            size.

    """

    gates = 4

    def forward(
        self, x: Sequence[Any], initial: tuple[Any, Any] | None = None
    ) -> tuple[list[Vector], tuple[list[Vector], list[Vector]]]:
        """Return the outputs (length, hidden_size) and (h_n, c_n), (num_layers, hidden_size) each.

        Args:
            x: the inputs, (length, input_size).
            initial: (h_0, c_0) to start from, (num_layers, hidden_size) each; None: 0.

        """
        h_0, c_0 = initial or (None, None)
        outputs, states, cells = self._run(x, h_0, c_0)
        return outputs, (states, cells)

    def _step(self, layer: int, x: Vector, state: Vector, cell: Vector) -> tuple[Vector, Vector]:
        seen, remembered = self._terms("ih", layer, x), self._terms("hh", layer, state)
        i, f, g, o = [
            [act(a + b) for a, b in zip(p, q, strict=True)]
            for act, p, q in zip((sigmoid, sigmoid, tanh, sigmoid), seen, remembered, strict=True)
        ]
        cell = [fk * ck + ik * gk for ik, fk, gk, ck in zip(i, f, g, cell, strict=True)]
        return [ok * tanh(ck) for ok, ck in zip(o, cell, strict=True)], cell
