"""lift: the decorator, and what a lifted function returns."""

import functools
import inspect
import threading
import types
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, Literal, overload

from liftgrad.errors import LiftError
from liftgrad.lift.arguments import read
from liftgrad.lift.build import Built, Stats, differentiate, trace, tracing
from liftgrad.lift.captured import CODE, Captured, Wrapper
from liftgrad.lift.executable import Backend, Executable
from liftgrad.lift.listing import Listing
from liftgrad.lift.new_values import value_class
from liftgrad.lift.parameters import Store
from liftgrad.lift.printer import listing
from liftgrad.lift.program import Program
from liftgrad.lift.reading import Reading, describe
from liftgrad.lift.repeat import Repeat
from liftgrad.lift.results import Prepared
from liftgrad.lift.tape import Tape
from liftgrad.lift.update import store_update

DType = Literal["float64", "float32"]
_MANY_STRUCTURES = 16
# Parameters of lifted functions move together, natively, when their optimiser steps.
Store.make_update = staticmethod(store_update)


@overload
def lift(function: Callable[..., Any], /) -> "LiftedFunction": ...
@overload
def lift(
    *, dtype: DType = "float64", backend: Backend = "native"
) -> Callable[[Callable[..., Any]], "LiftedFunction"]: ...
def lift(
    function: Callable[..., Any] | None = None,
    /,
    *,
    dtype: DType = "float64",
    backend: Backend = "native",
) -> Any:
    """Return the function lifted from scalars to tensors: traced once, rolled up and compiled.

    It runs on copies of what it is given. Results that it notes down in new attributes of objects
    (`self.out = ...`) are not there after the call, nor in the next one, also for `hasattr`; any
    other change of what outlives the call is refused. So is what may differ at the next call: to
    draw random numbers (but by `functional.uniform`), to read the clock, the environment or a file,
    to take items from an iterator that is not the function's own.

    Natively, sums of products are added up in another order than eagerly, and round once for each
    term: they agree to some units in the last place of the sum of the terms' absolute values. Where
    products overflow to both sides, eager's nan may be infinite or a number.

    Args:
        function: a scalar program; see `LiftedFunction` for what it may take and return.
        dtype: the type to compute in; with float32, parameters are rounded to it, too.
        backend: "native" (LLVM) or "numpy".

    Raises:
        LiftError: if it is not a function.

    >>> from liftgrad import Value
    >>> @lift
    ... def energy(xs):
    ...     return sum(x * x for x in xs)
    >>> xs = [Value(1.0), Value(2.0)]
    >>> total = energy(xs)
    >>> total.backward()
    >>> total.data, xs[1].grad
    (5.0, 4.0)

    """
    if dtype not in ("float64", "float32"):
        raise LiftError(f"lift(dtype={dtype!r}): choose 'float64' or 'float32'.")
    if backend not in ("native", "numpy"):
        raise LiftError(f"lift(backend={backend!r}): choose 'native' or 'numpy'.")
    if function is None:
        return lambda f: _lifted(f, dtype, backend)
    return _lifted(function, dtype, backend)


def _lifted(function: Any, dtype: DType, backend: Backend) -> "LiftedFunction":
    if isinstance(function, LiftedFunction):
        function = function.function
    if not isinstance(function, types.FunctionType):
        raise LiftError(
            f"lift() takes a function, and this is a {type(function).__name__}; write one that "
            "takes it as an argument: lift(lambda model, x: model(x))."
        )
    return LiftedFunction(function, dtype, backend)


class LiftedFunction(Wrapper):
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
    """

    __name__: str

    def __init__(self, function: types.FunctionType, dtype: DType, backend: Backend) -> None:
        functools.update_wrapper(self, function)
        self.function, self.dtype, self.backend = function, dtype, backend
        self.stats = Stats()
        self._signature = inspect.signature(function)
        self._names = tuple(self._signature.parameters)
        kinds = [p.kind for p in self._signature.parameters.values()]
        self._plain = len(kinds) if set(kinds) <= {inspect.Parameter.POSITIONAL_OR_KEYWORD} else -1
        """How many arguments there are, if a call can give all of them by position."""
        self._captured = Captured(function, frozenset(self._signature.parameters))
        self._programs: dict[tuple[Any, ...], Executable] = {}
        self._batched: dict[tuple[Any, ...], set[int]] = {}
        self.lock = threading.RLock()
        self.recipes: OrderedDict[tuple[Any, ...], Any] = OrderedDict()
        """What trainers of one structure share."""
        self._last: Executable | None = None
        self._repeat: tuple[Repeat, Prepared] | None = None
        reference = weakref.ref(self)

        def forget(_: Any) -> None:
            function = reference()
            if function is not None:
                function._repeat = None

        self._forget = forget

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program for these arguments, building it if there is none for their structure."""
        if tracing.depth:
            return self.function(*args, **kwargs)
        with self.lock:
            if self._repeat is not None:
                last, prepared = self._repeat
                captured = self._captured.values()
                given: Sequence[Any] = args
                known = not captured and not kwargs and len(args) == self._plain == len(last.names)
                if not known:
                    arguments = self.arguments(args, kwargs, captured)
                    known, given = tuple(arguments) == last.names, list(arguments.values())
                groups = last.taken(given) if known else None
                if groups is not None:
                    self.stats.cache_hits += 1
                    return prepared.call(groups)
                self._repeat = None
            arguments, reading = self.read(args, kwargs)
            if reading.nested:
                return self.function(*args, **kwargs)
            executable = self._executable(arguments, reading)
            prepared = Prepared(self.__name__, self.lock, executable, reading.groups)
            result = prepared.call(reading.groups)
            like = Repeat.of(arguments, reading, self._forget)
            self._repeat = None if like is None else (like, prepared)
            return result

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """Return the method, as functions do."""
        return self if instance is None else types.MethodType(self, instance)

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

    def _run(self, arguments: dict[str, Any], tape: Tape, reading: Reading) -> Any:
        """Call the function with traced arguments, and traced captured values in their places."""
        names = [name for name in arguments if name not in self._signature.parameters]
        captured = {name: arguments.pop(name) for name in names}
        bound = inspect.BoundArguments(self._signature, arguments)
        kind = value_class(tape)
        return self._captured.call(captured, bound.args, bound.kwargs, kind, reading.others)

    def _executable(self, arguments: dict[str, Any], reading: Reading) -> Executable:
        found = self._programs.get(self.structure(reading))
        if found is not None:
            self.stats.cache_hits += 1
            self._last = found
            return found
        built = self.build(arguments, reading)
        differentiate(built, self.stats, unit_seed=built.single)
        executable = Executable(built, self.dtype, self.backend, self.stats)
        self._programs[self.structure(reading)] = executable
        self._last = executable
        if len(self._programs) == _MANY_STRUCTURES + 1:
            self._warn_of_many()
        return executable

    def build(self, arguments: dict[str, Any], reading: Reading, tape: Tape | None = None) -> Built:
        """Trace and roll the function for arguments of this structure.

        The arrays' shapes are those of the reading.
        """
        built = trace(self._run, arguments, reading, self.stats, tape)
        self._batched[_ranks(reading)] = built.open_groups
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

        Raises:
            LiftError: if the function was not called yet.

        """
        if self._last is None:
            raise LiftError(
                f"{self.__name__} has no program yet: it is recovered at the first call."
            )
        return self.listing(self._last.built, self._last.program)

    def listing(self, built: Built, program: Program, update: int | None = None) -> Listing:
        """Return a program that was built for this function as text."""
        signature = ", ".join(self._signature.parameters)
        return listing(self.__name__, signature, built, program, update)

    def _warn_of_many(self) -> None:
        earlier, later = list(self._programs)[-2:]
        first = next(i for i, (a, b) in enumerate(zip(earlier, later, strict=False)) if a != b)
        argument = next(part for part in reversed(later[: first + 1]) if isinstance(part, str))
        a, b = describe(earlier[first]), describe(later[first])
        what = f"one has {a} and the other {b} in {argument}"
        if argument == CODE:
            what = "a function, class or module that it uses was replaced by another"
        warnings.warn(
            f"{self.__name__} was built for {len(self._programs)} structures of arguments; of the "
            f"last two, {what}. {_advice(later[first])}",
            RuntimeWarning,
            stacklevel=4,
        )


def _advice(part: Any) -> str:
    match part:
        case ("input" | "index", _):
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
