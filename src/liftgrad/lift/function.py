"""lift: the decorator, and what a lifted function returns."""

import functools
import inspect
import threading
import types
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Self, overload

from liftgrad.errors import LiftError, TraceError
from liftgrad.lift import Backend, DType, lift
from liftgrad.lift.call.arguments import read
from liftgrad.lift.call.leaf_names import LeafNames
from liftgrad.lift.call.seen import Seen
from liftgrad.lift.call.structure import Reading, describe, is_among_integers
from liftgrad.lift.capture.closures import CODE, Captured, Wrapper
from liftgrad.lift.capture.liftable import why_not_liftable
from liftgrad.lift.compare.checks import (
    FAILURES,
    Outcome,
    difference,
    eagerly,
    failed_by_lifting,
    flat,
    is_checked,
    is_differentiated,
)
from liftgrad.lift.compare.parting import where_they_part
from liftgrad.lift.explain.listing import Listing
from liftgrad.lift.explain.printer import listing
from liftgrad.lift.forks import given_up
from liftgrad.lift.ir.nests import Program
from liftgrad.lift.pipeline import Built, Stats, differentiate, trace, tracing
from liftgrad.lift.recent import Recent
from liftgrad.lift.run.executable import Executable
from liftgrad.lift.run.parameters import Store
from liftgrad.lift.run.repeat import Repeat
from liftgrad.lift.run.results import Prepared, computed, gradients_of
from liftgrad.lift.stand_ins.names import stand_ins
from liftgrad.lift.trace.lined_tape import LinedTape
from liftgrad.lift.trace.tape import Tape
from liftgrad.lift.tracebacks import hide_own_frames, with_short_tracebacks
from liftgrad.lift.train.update import store_update

__all__ = ["LiftedFunction", "lift", "lifted"]

if TYPE_CHECKING:  # where defaults are known before Python 3.13
    from typing_extensions import ParamSpec, TypeVar

    P = ParamSpec("P", default=...)
    R_co = TypeVar("R_co", covariant=True, default=Any)
else:
    from typing import ParamSpec, TypeVar

    P, R_co = ParamSpec("P"), TypeVar("R_co", covariant=True)
Rest = ParamSpec("Rest")
Instance = TypeVar("Instance")
_MANY_STRUCTURES = 16
_MANY_LISTS = 3
"""After so many programs, lists of integers that vary are likely to go on like that."""
_MEMORY, _FEW_PROGRAMS = 64 * 2**20, 8
"""Bytes that a function's programs may take, and how many are kept in any case."""
_MOST_RANKS = 1024
# Parameters of lifted functions move together, natively, when their optimiser steps.
Store.make_update = staticmethod(store_update)


@with_short_tracebacks
def lifted(function: Any, dtype: DType, backend: Backend, check: bool | None) -> Any:
    """Return what `lift` returns."""
    if dtype not in ("float64", "float32"):
        raise LiftError(f"lift(dtype={dtype!r}): choose 'float64' or 'float32'.")
    if backend not in ("native", "numpy"):
        raise LiftError(f"lift(backend={backend!r}): choose 'native' or 'numpy'.")
    if function is None:
        return functools.partial(lift, dtype=dtype, backend=backend, check=check)
    if isinstance(function, LiftedFunction):
        function = function.function
    refusal = why_not_liftable(function)
    if refusal is not None:
        raise LiftError(refusal)
    return LiftedFunction(function, dtype, backend, check)


class LiftedFunction(Wrapper, Generic[P, R_co]):
    """A scalar program that runs as a tensor program.

    Arguments may be numbers, arrays, Values, Modules, and lists, tuples and dicts of them. Floats
    and arrays of floats are inputs, integer arrays are indices for `take`, Values are parameters;
    ints, strings and bools are static. Modules, lists and Values that the function finds in its
    closure or among its globals count as arguments, too: whatever they are bound to is seen at
    each call. Numbers in globals and class attributes that only the user's methods, or functions
    of other modules, know are static. `Value(x)` in the function, or in those of its module that it
    calls, is a constant.

    Results are Values, or nested containers of them; results of `vmap` are arrays. Called by a
    function that is being lifted or differentiated, it is the plain function.

    >>> from liftgrad import Value
    >>> square = lift(lambda x: x * x)
    >>> x = Value(3.0)
    >>> y = square(x)
    >>> y.backward()
    >>> y.data, x.grad
    (9.0, 6.0)
    """

    __name__: str

    def __init__(
        self, function: Callable[P, R_co], dtype: DType, backend: Backend, check: bool | None
    ) -> None:
        functools.update_wrapper(self, function)
        self.check = check
        self.function: Callable[P, R_co] = function
        self.dtype, self.backend = dtype, backend
        self.stats = Stats()
        self._signature = inspect.signature(function)
        self._names = tuple(self._signature.parameters)
        kinds = [p.kind for p in self._signature.parameters.values()]
        self._plain = len(kinds) if set(kinds) <= {inspect.Parameter.POSITIONAL_OR_KEYWORD} else -1
        """How many arguments there are, if a call can give all of them by position."""
        self._captured = Captured(function, frozenset(self._signature.parameters))
        self._programs = Recent[tuple[Any, ...], Executable](
            Executable.size, Executable.release, limit=_MEMORY, few=_FEW_PROGRAMS
        )
        self._batched: OrderedDict[tuple[Any, ...], set[int]] = OrderedDict()
        self._structures = 0
        """How many structures programs were built for."""
        self.lock = threading.RLock()
        given_up(self)
        self.recipes: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        """What trainers of one structure share."""
        self._warned = False
        self._last: Executable | None = None
        self._repeat: tuple[Repeat, Prepared, Reading | None] | None = None
        """The last call, what it was prepared with, and what it was given, until it is compared."""
        reference = weakref.ref(self)

        def forget(_: Any) -> None:
            function = reference()
            if function is not None:
                function._repeat = None

        self._forget = forget

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the program for these arguments, building it if there is none for their structure."""
        try:
            if tracing.depth:
                return self.function(*args, **kwargs)
            with self.lock:
                if self._repeat is not None:
                    last, prepared, unchecked = self._repeat
                    captured = self._captured.values()
                    given: Sequence[Any] = args
                    known = (
                        not captured and not kwargs and len(args) == self._plain == len(last.names)
                    )
                    if not known:
                        arguments = self.arguments(args, kwargs, captured)
                        known, given = tuple(arguments) == last.names, list(arguments.values())
                    groups = last.taken(given) if known else None
                    if groups is not None:
                        self.stats.cache_hits += 1
                        result = prepared.call(groups)
                        if unchecked is not None:
                            now = replace(unchecked, groups=groups)
                            called = dict(zip(last.names, given, strict=True))
                            self._compare(prepared.executable, called, now, result)
                        return result  # type: ignore[no-any-return]
                    self._repeat = None
                arguments, reading = self.read(args, kwargs)
                if reading.nested:
                    return self.function(*args, **kwargs)
                executable = self._executable(arguments, reading)
                prepared = Prepared(self.__name__, self.lock, executable, reading.groups)
                result = prepared.call(reading.groups)
                self._compare(executable, arguments, reading, result)
                like = Repeat.of(arguments, reading, self._forget)
                if like is not None:
                    self._repeat = like, prepared, reading if executable.seen else None
                return result  # type: ignore[no-any-return]
        except Exception as error:
            hide_own_frames(error)
            raise

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(
        self: "LiftedFunction[Concatenate[Instance, Rest], R_co]",
        instance: Instance,
        owner: type | None = None,
    ) -> Callable[Rest, R_co]: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the method, as functions do."""
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        return f"<lifted function {self.__name__}{self._signature}>"

    def __reduce__(self) -> str:
        """Copy and pickle as functions do: by name."""
        return str(self.function.__qualname__)

    def read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[dict[str, Any], Reading]:
        """Return all arguments of a call, and what they consist of."""
        arguments = self.arguments(args, kwargs)
        reading = read(arguments)
        if self._captured.watch(reading.classes, reading.others):
            return self.read(args, kwargs)
        return arguments, reading

    def arguments(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        captured: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return all arguments of a call by name, with what the function captures."""
        if captured is None:
            captured = self._captured.values()
        if not kwargs and len(args) == self._plain:
            return {**dict(zip(self._names, args, strict=True)), **captured}
        try:
            binding = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{self.__name__}(): {error}") from None
        binding.apply_defaults()
        return {**binding.arguments, **captured}

    def forget(self) -> None:
        """Begin anew, in a forked process whose parent was calling this in another thread."""
        self._programs.values.clear()
        self._structures = 0
        self.recipes.clear()
        self._repeat = None
        self._captured.look_around()

    def _run(self, arguments: dict[str, Any], tape: Tape, reading: Reading) -> Any:
        """Call the function with traced arguments, and traced captured values in their places."""
        names = [name for name in arguments if name not in self._signature.parameters]
        captured = {name: arguments.pop(name) for name in names}
        bound = inspect.BoundArguments(self._signature, arguments)
        return self._captured.call(
            captured, bound.args, bound.kwargs, stand_ins(tape), reading.others
        )

    def _run_eagerly(self, arguments: dict[str, Any], stand_ins: dict[Any, Any]) -> Any:
        """Call the function itself with such arguments, and captured values in their places."""
        names = [name for name in arguments if name not in self._signature.parameters]
        captured = {name: arguments.pop(name) for name in names}
        bound = inspect.BoundArguments(self._signature, arguments)
        return self._captured.call_again(captured, bound.args, bound.kwargs, stand_ins)

    def _check(self, arguments: dict[str, Any], reading: Reading, lifted: Outcome) -> None:
        """Raise LiftError if what a program gives is not what the function itself gives."""

        def explain(eager: Outcome, lifted: Outcome) -> str:
            tape = LinedTape(reading.groups)

            def run(jitter: float, seed: int) -> Outcome:
                of = lifted.gradients
                return eagerly(self._run_eagerly, arguments, reading.groups, of, jitter, seed)

            def trace() -> Built:
                return self.build(dict(arguments), reading, tape)

            return where_they_part(tape, trace, run, eager, lifted, self.dtype)

        how = difference(
            *(self._run_eagerly, explain, self.dtype, arguments, reading.groups, lifted),
            by_identity=self._captured.by_identity,
        )
        if how:
            raise LiftError(f"{self.__name__} {how}")

    def _compare(
        self, executable: Executable, arguments: dict[str, Any], reading: Reading, result: Any
    ) -> None:
        """Compare a call's result with the function's own, if that is still to be done."""
        seen = executable.seen
        if seen is None or not is_checked(
            self.check, executable.built, reading.groups, by_identity=seen.by_identity
        ):
            return
        try:
            if seen.is_new(reading.groups):
                outcome = Outcome(flat(result))
                if is_differentiated(executable.built, reading.groups):
                    outcome.gradients = gradients_of(result)
                self._check(arguments, reading, outcome)
        except LiftError:
            self._programs.remove(executable)
            self._repeat = self._last = None
            raise
        if seen.enough:
            executable.seen = None
            if self._repeat is not None:
                self._repeat = *self._repeat[:2], None

    def compare_built(self, built: Built, arguments: dict[str, Any], reading: Reading) -> None:
        """Compare what a program that was built gives with what the function itself does.

        Raises:
            LiftError: if they differ.

        """
        by_identity = self._captured.by_identity
        if is_checked(self.check, built, reading.groups, by_identity=by_identity):
            self._check(arguments, reading, Outcome(computed(built, reading.groups, self.dtype)))

    def _executable(self, arguments: dict[str, Any], reading: Reading) -> Executable:
        found = self._programs.get(self.structure(reading))
        if found is not None:
            self.stats.cache_hits += 1
            self._last = found
            return found
        built = self.build(arguments, reading)
        differentiate(built, self.stats, unit_seed=built.single)
        executable = Executable(built, self.dtype, self.backend, self.stats)
        by_identity = self._captured.by_identity
        if is_checked(self.check, built, reading.groups, by_identity=by_identity):
            executable.seen = Seen(by_identity=by_identity)
        self._programs.add(self.structure(reading), executable)
        self._last = executable
        self._structures += 1
        if self._structures > _MANY_LISTS and not self._warned:
            self._warn_of_many()
        return executable

    def build(self, arguments: dict[str, Any], reading: Reading, tape: Tape | None = None) -> Built:
        """Trace and roll the function for arguments of this structure.

        The arrays' shapes are those of the reading.
        """
        try:
            built = trace(self._run, arguments, reading, self.stats, tape)
        except FAILURES as error:
            sentence = failed_by_lifting(self._run_eagerly, arguments, reading.groups, error)
            if not sentence:
                raise
            raise TraceError(sentence) from error
        self._batched[_ranks(reading)] = built.open_groups
        if len(self._batched) > _MOST_RANKS:
            self._batched.popitem(last=False)
        return built

    def structure(self, reading: Reading) -> tuple[Any, ...]:
        """Return what calls that one program can serve have in common, as far as it is known.

        Which arrays are mapped over, so that their length is no part of the structure, is known
        only once a program was built for arrays of this rank.
        """
        return reading.key_of_structure(self._batched.get(_ranks(reading), ()))

    @property
    def program(self) -> Listing:
        """The tensor program that was recovered for the last call, as mathematics to print.

        >>> square = lift(lambda x: x * x)
        >>> _ = square(3.0)
        >>> print(str(square.program).splitlines()[0])
        <lambda>(x): 1 scalar operations → 1 loop nests

        Raises:
            LiftError: if the function was not called yet.

        """
        if self._last is None:
            raise LiftError(
                f"{self.__name__} has no program yet: it is recovered at the first call."
            )
        return self.listing(self._last.built, self._last.program)

    def listing(self, built: Built, program: Program, update: int | None = None) -> Listing:
        """Return a program that was built for this function as text.

        Args:
            built: the groups that the program computes.
            program: the nests.
            update: the group that an optimiser's update begins with, if there is one.

        """
        name, rolled = self.__name__, built.rolled
        leaves = dict(built.names)
        if built.seed is not None:
            count = None if built.outputs == 1 else built.outputs
            leaves[built.seed] = LeafNames(f"∂{name}", [(f"∂{name}", count)])
        traced = " for one sample" if built.batched_groups else ""
        sections = [("gradient:", built.forward)]
        if update is not None:
            sections.append(("update:", update))
        differentiated = [built.leaf_of[i] for i in built.parameter_groups]
        return listing(
            f"{name}({', '.join(self._signature.parameters)}): {built.scalar_operations:,} scalar "
            f"operations{traced} → {len(program.nests):,} loop nests",
            program,
            rolled,
            function=name,
            leaves=leaves,
            results=rolled.outputs[: built.outputs],
            gradients=dict(zip(differentiated, built.gradients, strict=False)),
            sections=sections,
        )

    def _warn_of_many(self) -> None:
        if len(self._programs.values) < 2:
            return  # the one before took too much memory to be kept
        earlier, later = list(self._programs.values)[-2:]
        first = next(i for i, (a, b) in enumerate(zip(earlier, later, strict=False)) if a != b)
        tokens = is_among_integers(later, first)
        if not tokens and self._structures <= _MANY_STRUCTURES:
            return
        self._warned = True
        argument = next(part for part in reversed(later[: first + 1]) if isinstance(part, str))
        a, b = describe(earlier[first]), describe(later[first])
        what = f"one has {a} and the other {b} in {argument}"
        if argument == CODE:
            what = "a function, class or module that it uses was replaced by another"
        warnings.warn(
            f"{self.__name__} was built for {self._structures} structures of arguments; of the "
            f"last two, {what}. {_OF_TOKENS if tokens else _advice(later[first])}",
            RuntimeWarning,
            stacklevel=4,
        )


_OF_TOKENS = (
    "Integers in lists are part of the program: pass them as an integer array, padded to one "
    "length, and look rows up with take(table, i)."
)


def _advice(part: Any) -> str:
    match part:
        case ("input" | "index", *_):
            return "Map over arrays that vary in length with vmap, or pad them."
        case (kind, str() | int()) if kind in (int, bool, str):
            return "If it is a number that varies, pass it as a float or in an array."
        case (kind, str()) if kind is float:
            return "Attributes are static: pass a number that varies as an argument, or as a Value."
        case (type(), *_):
            return "Pad what varies in length or kind."
        case _:
            return "Arguments of one structure share one program."


def _ranks(reading: Reading) -> tuple[Any, ...]:
    return reading.key_of_structure(
        [i for i, g in enumerate(reading.groups) if g.array is not None]
    )
