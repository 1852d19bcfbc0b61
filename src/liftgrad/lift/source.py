"""Source: a scalar function, what its calls consist of, and how it is traced and compared."""

import inspect
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from liftgrad.errors import LiftError, TraceError
from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.call.flatten import flatten
from liftgrad.lift.call.leaves import LeafNames
from liftgrad.lift.capture.closure import Closure
from liftgrad.lift.capture.tracing import Trace
from liftgrad.lift.compare.difference import FAILURES, difference, failed_by_lifting
from liftgrad.lift.compare.divergence import where_they_diverge
from liftgrad.lift.compare.eager_run import Outcome, run_eagerly
from liftgrad.lift.compare.policy import is_compared
from liftgrad.lift.explain.listing import Listing
from liftgrad.lift.ir.groups import Builder, Constants, Rolled
from liftgrad.lift.ir.nests import count_nests
from liftgrad.lift.pipeline import Built, Compiled, Ending
from liftgrad.lift.recovery import rolled_up, traced_once
from liftgrad.lift.run.results import computed
from liftgrad.lift.stand_ins.names import traced_builtins
from liftgrad.lift.stats import Stats
from liftgrad.lift.trace.lined_tape import LinedTape
from liftgrad.lift.trace.tape import Tape

_MOST_RANKS = 1024


class Source:
    """A scalar function that programs are recovered from.

    Args:
        function: the function.
        dtype: "float64" or "float32".
        backend: "native" or "numpy".
        check: whether first results are compared with the function's own; see `lift`.

    """

    def __init__(
        self, function: Callable[..., Any], dtype: str, backend: str, check: bool | None
    ) -> None:
        self.function, self.name = function, function.__name__
        self.dtype, self.backend, self.check = dtype, backend, check
        self.stats = Stats()
        self.lock = threading.RLock()
        """Held during calls and training runs, and while programs are built."""
        self.signature = inspect.signature(function)
        self._names = tuple(self.signature.parameters)
        kinds = [p.kind for p in self.signature.parameters.values()]
        self.plain = len(kinds) if set(kinds) <= {inspect.Parameter.POSITIONAL_OR_KEYWORD} else -1
        """How many arguments there are, if a call can give all of them by position."""
        self.closure = Closure(function, frozenset(self.signature.parameters))
        self._batched: OrderedDict[tuple[Any, ...], set[int]] = OrderedDict()
        """For ranks of arrays that programs were built for, which arrays are mapped over."""

    def flatten(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[dict[str, Any], FlatArguments]:
        """Return all arguments of a call, and their numbers and structure."""
        arguments = self.arguments(args, kwargs)
        flat = flatten(arguments)
        if self.closure.add_code(flat.classes, flat.opaque):
            return self.flatten(args, kwargs)
        return arguments, flat

    def arguments(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        captured: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return all arguments of a call by name, with what the function captures."""
        if captured is None:
            captured = self.closure.values()
        if not kwargs and len(args) == self.plain:
            return {**dict(zip(self._names, args, strict=True)), **captured}
        try:
            binding = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.name}(): {error}") from None
        binding.apply_defaults()
        return {**binding.arguments, **captured}

    def run(self, arguments: dict[str, Any], tape: Tape, flat: FlatArguments) -> Any:
        """Call the function with traced arguments, and traced captured values in their places."""
        names = [name for name in arguments if name not in self.signature.parameters]
        captured = {name: arguments.pop(name) for name in names}
        bound = inspect.BoundArguments(self.signature, arguments)
        return self.closure.call(
            captured, bound.args, bound.kwargs, traced_builtins(tape), flat.opaque
        )

    def _run_eagerly(self, arguments: dict[str, Any], stand_ins: dict[Any, Any]) -> Any:
        """Call the function itself with such arguments, and captured values in their places."""
        names = [name for name in arguments if name not in self.signature.parameters]
        captured = {name: arguments.pop(name) for name in names}
        bound = inspect.BoundArguments(self.signature, arguments)
        return self.closure.call_unchecked(captured, bound.args, bound.kwargs, stand_ins)

    def is_compared(self, built: Built, flat: FlatArguments) -> bool:
        """Return whether a program's first results are compared with the function's own."""
        by_identity = self.closure.by_identity
        return is_compared(self.check, built, flat.groups, by_identity=by_identity)

    def compare(self, arguments: dict[str, Any], flat: FlatArguments, lifted: Outcome) -> None:
        """Compare what a program gave with what the function itself gives.

        Raises:
            LiftError: if they differ.

        """

        def explain(eager: Outcome, lifted: Outcome) -> str:
            tape = LinedTape(flat.groups)

            def run(jitter: float, seed: int) -> Outcome:
                of = lifted.gradients
                return run_eagerly(self._run_eagerly, arguments, flat.groups, of, jitter, seed)

            def trace() -> Built:
                return self.build(dict(arguments), flat, tape)

            return where_they_diverge(tape, trace, run, eager, lifted, self.dtype)

        how = difference(
            *(self._run_eagerly, explain, self.dtype, arguments, flat.groups, lifted),
            by_identity=self.closure.by_identity,
        )
        if how:
            raise LiftError(f"{self.name} {how}")

    def compare_built(self, built: Built, arguments: dict[str, Any], flat: FlatArguments) -> None:
        """Compare what a program that was built gives with what the function itself does.

        Raises:
            LiftError: if they differ.

        """
        if self.is_compared(built, flat):
            self.compare(arguments, flat, Outcome(computed(built, flat.groups, self.dtype)))

    def build(
        self, arguments: dict[str, Any], flat: FlatArguments, tape: Tape | None = None
    ) -> Built:
        """Trace and roll the function for arguments of this structure.

        Arrays have the shapes that they have in `flat`.
        """
        return self.roll(self.trace(arguments, flat, tape), arguments, flat)

    def trace(
        self, arguments: dict[str, Any], flat: FlatArguments, tape: Tape | None = None
    ) -> Trace:
        """Return what the function does with arguments of this structure."""
        with self._explaining(arguments, flat):
            return traced_once(self.run, arguments, flat, self.stats, tape)

    def roll(
        self,
        traced: Trace,
        arguments: dict[str, Any],
        flat: FlatArguments,
        inputs: Mapping[int, float] | None = None,
    ) -> Built:
        """Return what was traced as groups, with these constants as inputs; see `rolled_up`."""
        with self._explaining(arguments, flat):
            built = rolled_up(self.run, arguments, flat, self.stats, traced, inputs)
        self.note_open(built, flat)
        return built

    @contextmanager
    def _explaining(self, arguments: dict[str, Any], flat: FlatArguments) -> Iterator[None]:
        """Explain an error that the function raises because it is traced."""
        try:
            yield
        except FAILURES as error:
            sentence = failed_by_lifting(self._run_eagerly, arguments, flat.groups, error)
            if not sentence:
                raise
            raise TraceError(sentence) from error

    def note_open(self, built: Built, flat: FlatArguments) -> None:
        """Note which arrays a program for such arguments maps over."""
        self._batched[_ranks(flat)] = built.open_groups
        if len(self._batched) > _MOST_RANKS:
            self._batched.popitem(last=False)

    def program_key(self, flat: FlatArguments) -> tuple[Any, ...]:
        """Return what calls that one program can serve have in common, as far as it is known.

        Which arrays are mapped over, so that their length is no part of the structure, is known
        only once a program was built for arrays of this rank.
        """
        return flat.open_key(self._batched.get(_ranks(flat), ()))

    def listing(self, made: Compiled[Ending], before_update: int | None = None) -> Listing:
        """Return a program that was compiled for this function as text.

        Args:
            made: the program.
            before_update: how many of its groups come before those of an update, if it has one.

        """
        # Few runs print programs.
        from liftgrad.lift.explain.printer import listing  # noqa: PLC0415
        from liftgrad.lift.explain.variables import variable  # noqa: PLC0415

        name, built, program = self.name, made.built, made.program
        rolled = _with_numbers(built)
        leaves = dict(built.names)
        if built.seed is not None:
            count = None if built.outputs == 1 else built.outputs
            leaves[built.seed] = LeafNames(f"∂{name}", [(f"∂{name}", count)])
        traced = " for one sample" if built.batched_groups else ""
        sections = [("gradient:", built.forward)]
        if before_update is not None:
            sections.append(("update:", before_update))
        differentiated = [built.leaf_of[i] for i in built.parameter_groups]
        return listing(
            f"{name}({', '.join(self.signature.parameters)}): {built.scalar_operations:,} scalar "
            f"operations{traced} → {count_nests(program):,} loop nests",
            program,
            rolled,
            function=name,
            leaves=leaves,
            results=built.rolled.outputs,
            gradients=dict(zip(differentiated, built.gradients, strict=False)),
            sections=sections,
            variables={i: x for i, at in built.places.items() if (x := variable(at)) is not None},
        )


def _with_numbers(built: Built) -> Rolled:
    """Return a program with the constants that are inputs as constants."""
    builder = Builder(built.rolled)
    for group, numbers in built.constants.items():
        builder.groups[group] = Constants(numbers)
    return builder.program()


def _ranks(flat: FlatArguments) -> tuple[Any, ...]:
    return flat.open_key([i for i, g in enumerate(flat.groups) if g.array is not None])
