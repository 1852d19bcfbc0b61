"""Taped: a program that runs as it was recorded, for as long as it is not worth being compiled.

Where nothing repeats, compiling takes as long as thousands of runs of the machine's two loops over
nodes, which have the first gradient in a tenth of the time. After a fixed number of calls it is
compiled, so that a user's program gives the same numbers each time it runs.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.lift.capture.tracing import Trace
from liftgrad.lift.ir.groups import View, identity
from liftgrad.lift.machine.machine import machine
from liftgrad.lift.machine.nodes import Arrays
from liftgrad.lift.machine.tapes import TapeNodes, tape_nodes
from liftgrad.lift.native.host import machine_code
from liftgrad.lift.pipeline import Built, Compiled, Ending
from liftgrad.lift.run.executable import Executable
from liftgrad.lift.run.numpy_run import NumpyRun
from liftgrad.lift.run.parameters import Parameters
from liftgrad.lift.run.runs import Seeds

_MOST_CALLS = 1024
"""Calls after which it is compiled: each takes two or three times as long as compiled, and so many
take as long as compiling."""
_LEAST_GROUPS = 2048
"""Groups that take so long to compile that the machine is worth it."""
_NODE_BYTES = 40


def tape_of(traced: Trace, built: Built) -> TapeNodes | None:
    """Return a trace as nodes of the machine, if it is long, does not roll up, and they can do it.

    Args:
        traced: what the function did.
        built: the same as groups, without loops over time.

    """
    tape, groups = traced.tape, built.rolled.groups
    if machine_code() is None:
        return None
    rolls = built.rolled.loops or len(groups) < max(_LEAST_GROUPS, len(tape.nodes) / 4)
    if rolls or tape.scans or tape.batched or tape.draws or built.constants or not traced.outputs:
        return None
    return tape_nodes(tape.nodes, traced.outputs)


class Taped(Executable):
    """Runs a tape, and compiles the program if somebody asks for that.

    Args:
        built: the program, without its gradient.
        tape: its nodes.
        compiled: compiles it.

    """

    def __init__(
        self, built: Built, tape: TapeNodes, compiled: Callable[[], Compiled[Ending]]
    ) -> None:
        groups = [built.leaf_of[i] for i in built.parameter_groups]
        views = [View(i, identity(built.rolled.groups[i].size)) for i in groups]
        self._begin(replace(built, gradients=views), "float64")
        self._made = None
        self.tape, self.compiled, self.calls = tape, compiled, 0

    @property
    def made(self) -> Compiled[Ending]:
        """The compiled program."""
        if self._made is None:
            self._made = self.compiled()
        return self._made

    @property
    def is_due(self) -> bool:  # type: ignore[override]
        """Whether it was called so often that it is worth being compiled."""
        return self.calls >= _MOST_CALLS

    def size(self) -> int:
        """Return roughly how many bytes it takes."""
        return super().size() + _NODE_BYTES * len(self.tape.nodes)

    def start(self, samples: int, parameters: dict[int, Parameters]) -> "TapeRun":
        """Return memory to run the program in."""
        return TapeRun(self, samples, parameters)

    def _new_run(self, samples: int, parameters: dict[int, Parameters]) -> "TapeRun":
        return TapeRun(self, samples, parameters)


class TapeRun(NumpyRun):
    """Inputs in, results and gradients out, on the machine."""

    def __init__(self, taped: Taped, samples: int, parameters: dict[int, Parameters]) -> None:
        super().__init__(taped.built, "float64", samples, parameters)
        tape, leaf_of = taped.tape, taped.built.leaf_of
        self.taped, self.machine = taped, machine()
        count = len(tape.nodes)
        self.memory = Arrays(tape.nodes, tape.inputs.copy(), tape.sequences, np.zeros(count))
        self.adjoints = np.zeros(count)
        self.places = {leaf_of[i]: used for i, used in tape.leaves.items() if i in leaf_of}
        self.of_results = dict(zip(map(id, taped.built.rolled.outputs), tape.outputs, strict=True))

    def feed(self, group: int, numbers: NDArray[Any]) -> None:
        """Set a leaf group of the rolled program."""
        positions, inputs, _ = self.places[group]
        self.memory.inputs[inputs] = numbers[positions]

    def forward(self) -> None:
        """Compute the results."""
        self.taped.calls += 1
        super().forward()

    def _run_forward(self) -> None:
        self.machine.forward(self.memory, 0, len(self.memory.nodes))

    def backward(self, seeds: Seeds) -> None:
        """Compute the gradients."""
        self.adjoints[:] = 0.0
        reached = np.zeros(len(self.adjoints), np.uint8)
        for node, seed in zip(self.taped.tape.outputs, seeds, strict=True):
            # As with several results elsewhere, one whose adjoint is zero was not taken.
            if seed or len(seeds) == 1:
                self.adjoints[node] += seed
                reached[node] = 1
        last = max(self.taped.tape.outputs) + 1
        self.machine.backward(self.memory, self.adjoints, reached, last)

    def numbers(self, view: View) -> NDArray[Any]:
        """Return a result's number."""
        node = self.of_results[id(view)]
        return self.memory.values[node : node + 1].copy()

    def gradient(self, view: View) -> NDArray[Any]:
        """Return the gradient by a parameter group."""
        result = np.zeros(len(view.positions))
        positions, _, nodes = self.places[view.group]
        result[positions] = self.adjoints[nodes]
        return result
