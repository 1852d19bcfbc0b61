"""lift: the decorator, and what a lifted function returns."""

import functools
import inspect
import threading
import warnings
from collections.abc import Callable
from typing import Any, Literal, overload

from liftgrad.errors import LiftError
from liftgrad.lift.arguments import Reading, read
from liftgrad.lift.build import Built, Stats, differentiate, trace
from liftgrad.lift.captured import Captured
from liftgrad.lift.executable import Backend, Executable
from liftgrad.lift.listing import Listing
from liftgrad.lift.parameters import Store
from liftgrad.lift.printer import listing
from liftgrad.lift.program import Program
from liftgrad.lift.repeat import Repeat
from liftgrad.lift.results import Prepared
from liftgrad.lift.update import StoreUpdate

DType = Literal["float64", "float32"]
_MANY_STRUCTURES = 16
# Parameters of lifted functions move together, natively, when their optimiser steps.
Store.make_update = StoreUpdate


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

    Args:
        function: a scalar program; see `LiftedFunction` for what it may take and return.
        dtype: the type to compute in.
        backend: "native" (LLVM) or "numpy".

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
        return lambda f: LiftedFunction(f, dtype, backend)
    return LiftedFunction(function, dtype, backend)


class LiftedFunction:
    """A scalar program that runs as a tensor program.

    Arguments may be numbers, arrays, Values, Modules, and lists, tuples and dicts of them. Floats
    and arrays of floats are inputs, integer arrays are indices for `take`, Values are parameters;
    ints, strings and bools are static. Modules, lists and Values that the function finds in its
    closure or among its globals count as arguments, too: whatever they are bound to is seen at
    each call.

    Results are Values, or nested containers of them; results of `vmap` are arrays.
    """

    def __init__(self, function: Callable[..., Any], dtype: DType, backend: Backend) -> None:
        functools.update_wrapper(self, function)
        self.function, self.dtype, self.backend = function, dtype, backend
        self.stats = Stats()
        self._signature = inspect.signature(function)
        kinds = [p.kind for p in self._signature.parameters.values()]
        self._plain = len(kinds) if set(kinds) <= {inspect.Parameter.POSITIONAL_OR_KEYWORD} else -1
        """How many arguments there are, if a call can give all of them by position."""
        self._captured = Captured(function, frozenset(self._signature.parameters))
        self._programs: dict[tuple[Any, ...], tuple[Executable, list[Any]]] = {}
        self._batched: dict[tuple[Any, ...], set[int]] = {}
        self.lock = threading.RLock()
        self._last: Executable | None = None
        self._repeat: Repeat | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program for these arguments, building it if there is none for their structure."""
        arguments = self.arguments(args, kwargs)
        with self.lock:
            if self._repeat is not None and self._repeat.serves(arguments):
                self.stats.cache_hits += 1
                return self._repeat.call(arguments)
            reading = read(arguments)
            executable = self._executable(arguments, reading)
            prepared = Prepared(self.__name__, self.lock, executable, reading.groups)  # type: ignore[attr-defined]
            result = prepared.call(reading.groups)
            self._repeat = Repeat.of(arguments, reading, prepared)
            return result

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return all arguments of a call by name, with what the function captures."""
        if not kwargs and len(args) == self._plain:
            bound = dict(zip(self._signature.parameters, args, strict=True))
        else:
            binding = self._signature.bind(*args, **kwargs)
            binding.apply_defaults()
            bound = binding.arguments
        return {**bound, **self._captured.values()}

    def _run(self, arguments: dict[str, Any]) -> Any:
        """Call the function with traced arguments, and traced captured values in their places."""
        names = [name for name in arguments if name not in self._signature.parameters]
        captured = {name: arguments.pop(name) for name in names}
        bound = inspect.BoundArguments(self._signature, arguments)  # type: ignore[arg-type]
        return self._captured.call(captured, bound.args, bound.kwargs)

    def _executable(self, arguments: dict[str, Any], reading: Reading) -> Executable:
        # Which arrays are mapped over, so that their length is no part of the structure, is known
        # only once a program was traced for arrays of this rank.
        rank_key = _key(reading, {i for i, g in enumerate(reading.groups) if g.array is not None})
        key = _key(reading, self._batched.get(rank_key, set()))
        found = self._programs.get(key)
        if found is not None:
            self.stats.cache_hits += 1
            self._last = found[0]
            return found[0]
        built = self.build(arguments, reading)
        differentiate(built, self.stats, unit_seed=False)
        executable = Executable(built, self.dtype, self.backend, self.stats)
        self._batched[rank_key] = built.batched_groups
        self._programs[_key(reading, built.batched_groups)] = (executable, reading.kept)
        self._last = executable
        if len(self._programs) == _MANY_STRUCTURES + 1:
            self._warn_of_many()
        return executable

    def build(self, arguments: dict[str, Any], reading: Reading) -> Built:
        """Trace and roll the function for arguments of this structure."""
        return trace(self._run, arguments, reading, self.stats)

    @property
    def program(self) -> Listing:
        """The tensor program that was recovered for the last call, as mathematics to print.

        Raises:
            LiftError: if the function was not called yet.

        """
        if self._last is None:
            raise LiftError(
                f"{self.__name__} has no program yet: it is recovered at the first call."  # type: ignore[attr-defined]
            )
        return self.listing(self._last.built, self._last.program)

    def listing(self, built: Built, program: Program, update: int | None = None) -> Listing:
        """Return a program that was built for this function as text."""
        signature = ", ".join(self._signature.parameters)
        return listing(self.__name__, signature, built, program, update)  # type: ignore[attr-defined]

    def _warn_of_many(self) -> None:
        keys = list(self._programs)
        differing = [
            (a, b) for a, b in zip(keys[-2], keys[-1], strict=False) if a != b
        ] or [(len(keys[-2]), len(keys[-1]))]
        warnings.warn(
            f"{self.__name__} was built for {len(keys)} structures of arguments, the last two of "  # type: ignore[attr-defined]
            f"which differ in {differing[0][0]!r} and {differing[0][1]!r}; pass numbers that vary "
            "as floats or arrays, and pad what varies in length.",
            RuntimeWarning,
            stacklevel=5,
        )


def _key(reading: Reading, batched: set[int]) -> tuple[Any, ...]:
    """Return the structure of a call, with the first extents of batched arrays left open."""
    shapes = iter(range(len(reading.groups)))
    arrays = [i for i in shapes if reading.groups[i].array is not None]
    remaining = iter(arrays)
    result = []
    for part in reading.key:
        if isinstance(part, tuple) and part and part[0] in ("input", "index") and len(part) == 2:
            number = next(remaining)
            result.append((part[0], ("samples", *part[1][1:])) if number in batched else part)
        else:
            result.append(part)
    return tuple(result)
