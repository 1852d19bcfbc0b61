"""Function: what the decorator `lift` returns, which is called and differentiated."""

import functools
import types
import warnings
import weakref
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Self, overload

from liftgrad.errors import LiftError
from liftgrad.lift import Backend, DType, lift
from liftgrad.lift.call.first_numbers import FirstNumbers
from liftgrad.lift.call.flat_arguments import FlatArguments
from liftgrad.lift.call.many_keys import warning_of_many
from liftgrad.lift.capture.closure import CODE
from liftgrad.lift.capture.discovery import Wrapper
from liftgrad.lift.capture.liftable import why_not_liftable
from liftgrad.lift.capture.tracing import Trace, tracing
from liftgrad.lift.compare.eager_run import Outcome, numbers_in
from liftgrad.lift.compare.policy import is_gradient_compared
from liftgrad.lift.explain.listing import Listing
from liftgrad.lift.forks import renew_in_child
from liftgrad.lift.ir.loop_error import LoopError
from liftgrad.lift.later import Later
from liftgrad.lift.pipeline import Built, compiled_call
from liftgrad.lift.recent import Recent
from liftgrad.lift.run.executable import Executable
from liftgrad.lift.run.last_call import LastCall
from liftgrad.lift.run.results import Prepared, gradients_of
from liftgrad.lift.run.taped import Taped, tape_of
from liftgrad.lift.skeletons import Skeletons
from liftgrad.lift.source import Source
from liftgrad.lift.tracebacks import hide_own_frames, with_short_tracebacks
from liftgrad.lift.update.store_update import store_update

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
_MEMORY, _FEW_PROGRAMS = 64 * 2**20, 8
"""Bytes that a function's programs may take, and how many are kept in any case."""


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
        self.source = Source(function, dtype, backend, check)
        self.stats, self.lock = self.source.stats, self.source.lock
        self._programs = Recent[tuple[Any, ...], Executable](
            Executable.size, Executable.release, limit=_MEMORY, few=_FEW_PROGRAMS
        )
        self._structures = 0
        """How many structures there were programs for."""
        self._skeletons = Skeletons()
        self._compiled = functools.partial(compiled_call, dtype, backend, self.stats)
        renew_in_child(self)
        self._warned = False
        self._last: Executable | None = None
        self._last_call: tuple[LastCall, Prepared, FlatArguments | None] | None = None
        """The last call, what it was prepared with, and what it was given, until it is compared."""
        reference = weakref.ref(self)

        def forget(_: Any) -> None:
            function = reference()
            if function is not None:
                function._last_call = None

        self._forget = forget

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Run the program for these arguments, building it if there is none for their structure."""
        try:
            if tracing.depth:
                return self.function(*args, **kwargs)
            source = self.source
            with self.lock:
                if self._last_call is not None:
                    last, prepared, unchecked = self._last_call
                    captured = source.closure.values()
                    given: Sequence[Any] = args
                    known = (
                        not captured and not kwargs and len(args) == source.plain == len(last.names)
                    )
                    if not known:
                        arguments = source.arguments(args, kwargs, captured)
                        known, given = tuple(arguments) == last.names, list(arguments.values())
                    groups = last.numbers_of(given) if known else None
                    if groups is not None and not prepared.executable.is_due:
                        self.stats.cache_hits += 1
                        result = prepared.call(groups)
                        if unchecked is not None:
                            now = replace(unchecked, groups=groups)
                            called = dict(zip(last.names, given, strict=True))
                            self._compare(prepared.executable, called, now, result)
                        return result  # type: ignore[no-any-return]
                    self._last_call = None
                return self._first_call(args, kwargs)  # type: ignore[no-any-return]
        except Exception as error:
            hide_own_frames(error)
            raise

    def _first_call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the program for arguments that are not clearly like those of the last call."""
        arguments, flat = self.source.flatten(args, kwargs)
        if flat.differentiated:
            return self.function(*args, **kwargs)
        executable = self._executable(arguments, flat)
        prepared = Prepared(self.__name__, self.lock, executable, flat.groups)
        result = prepared.call(flat.groups)
        self._compare(executable, arguments, flat, result)
        last = LastCall.of(arguments, flat, self._forget)
        if last is not None:
            self._last_call = last, prepared, flat if executable.seen else None
        return result

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
        return f"<lifted function {self.__name__}{self.source.signature}>"

    def __reduce__(self) -> str:
        """Copy and pickle as functions do: by name."""
        return str(self.function.__qualname__)

    def forget(self) -> None:
        """Begin anew, in a forked process whose parent was calling this in another thread."""
        self._programs.values.clear()
        self._structures = 0
        self._skeletons.clear()
        self._last_call = None
        self.source.closure.find_variables()

    def _compare(
        self, executable: Executable, arguments: dict[str, Any], flat: FlatArguments, result: Any
    ) -> None:
        """Compare a call's result with the function's own, if that is still to be done."""
        seen = executable.seen
        if seen is None or not self.source.is_compared(executable.built, flat):
            return
        try:
            if seen.is_new(flat.groups):
                outcome = Outcome(numbers_in(result))
                if is_gradient_compared(executable.built, flat.groups):
                    outcome.gradients = gradients_of(result)
                self.source.compare(arguments, flat, outcome)
        except LiftError:
            self._programs.remove(executable)
            self._skeletons.clear()
            self._last_call = self._last = None
            raise
        if seen.done:
            executable.seen = None
            if self._last_call is not None:
                self._last_call = *self._last_call[:2], None

    def _executable(self, arguments: dict[str, Any], flat: FlatArguments) -> Executable:
        source = self.source
        found = self._programs.get(source.program_key(flat))
        if found is not None:
            self.stats.cache_hits += 1
            if found.is_due:
                found = found.replacement or Executable(found.made, self.dtype, store_update)
                self._programs.add(source.program_key(flat), found)
            self._last = found
            return found
        executable, is_new = self._new_executable(arguments, flat)
        if (is_new or source.closure.by_identity) and source.is_compared(executable.built, flat):
            executable.seen = FirstNumbers()
        self._programs.add(source.program_key(flat), executable)
        self._last = executable
        self._structures += 1
        if not self._warned:
            self._warn_of_many()
        return executable

    def _new_executable(
        self, arguments: dict[str, Any], flat: FlatArguments
    ) -> tuple[Executable, bool]:
        """Return a program for these arguments, and whether it is new.

        If not, it is another one with other constants, that does the same otherwise.
        """
        source = self.source
        traced = source.trace(arguments, flat)
        search = self._skeletons.search(traced, flat, self._structures)
        if search.made is not None:
            source.note_open(search.made.built, flat)
            return Executable(search.made, self.dtype, store_update, search.later), False
        built = source.roll(traced, arguments, flat, search.inputs)
        executable = self._executable_of(traced, built)
        if not isinstance(executable, Taped):
            self._skeletons.add(search, executable.made, executable.later)
        return executable, True

    def _executable_of(self, traced: Trace, built: Built) -> Executable:
        """Return what runs a program: kernels, or the machine if those would take too long."""
        taped = self._taped(traced, built)
        if taped is not None:
            return taped()
        waits = _is_seldom_differentiated(built)
        try:
            made = self._compiled(replace(built, unrolled=None), gradient=not waits)
        except LoopError:
            if built.unrolled is None:
                raise
            return self._executable_of(traced, built.unrolled())
        later = self._later(traced, built) if waits else None
        return Executable(made, self.dtype, store_update, later)

    def _taped(self, traced: Trace, built: Built) -> Callable[[], Taped] | None:
        """Return what makes the machine's program, if that is to run instead of kernels."""
        if self.dtype == "float64" and self.backend == "native":
            tape = tape_of(traced, built)
            if tape is not None:
                compiled = functools.partial(self._compiled, built)
                return functools.partial(Taped, built, tape, compiled)
        return None

    def _later(self, traced: Trace, built: Built) -> Later:
        """Return how a program gets its gradient once someone asks for it."""
        if built.unrolled is not None:
            taped = self._taped(traced, built.unrolled())
            if taped is not None:
                looped = replace(built, unrolled=None)
                return Later(functools.partial(self._compiled, looped), taped)
        return Later(functools.partial(self._compiled, built))

    def _warn_of_many(self) -> None:
        if len(self._programs.values) < 2:
            return  # the one before took too much memory to be kept
        earlier, later = list(self._programs.values)[-2:]
        warning = warning_of_many(self.__name__, self._structures, earlier, later, CODE)
        if warning is not None:
            self._warned = True
            warnings.warn(warning, RuntimeWarning, stacklevel=5)

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
        with self.lock:
            return self.source.listing(self._last.with_gradient().made)


def _is_seldom_differentiated(built: Built) -> bool:
    """Return whether most calls want a function's results only, to all appearances.

    Just one Value, even beside numbers or arrays, is a loss; several are scores, or derivatives.
    A function that would be traced once more has its gradient at once: what it reads may change.
    """
    kinds = zip(built.plain_outputs, built.batched_outputs, strict=True)
    values = sum(not (plain or batched) for plain, batched in kinds)
    differentiable = built.outputs > 1 and len(built.parameter_groups) > 0
    return differentiable and values != 1 and not built.traced_for_it
