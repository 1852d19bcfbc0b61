"""lift: the decorator, and what a lifted function returns."""

import functools
import inspect
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from liftgrad.engine import Value
from liftgrad.errors import LiftError
from liftgrad.lift.arguments import LeafGroup, Reading, read
from liftgrad.lift.build import Built, Stats, differentiate, trace
from liftgrad.lift.captured import Captured
from liftgrad.lift.executable import Backend, Executable, NativeRun, NumpyRun
from liftgrad.lift.parameters import Parameters
from liftgrad.ops import Operation

DType = Literal["float64", "float32"]
_MANY_STRUCTURES = 16


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
        self._captured = Captured(function, frozenset(self._signature.parameters))
        self._programs: dict[tuple[Any, ...], tuple[Executable, list[Any]]] = {}
        self._batched: dict[tuple[Any, ...], set[int]] = {}
        self.lock = threading.RLock()
        self._last: Executable | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the program for these arguments, building it if there is none for their structure."""
        arguments = self.arguments(args, kwargs)
        with self.lock:
            reading = read(arguments)
            executable = self._executable(arguments, reading)
            return _Call(self, executable, reading.groups).results()

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return all arguments of a call by name, with what the function captures."""
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return {**bound.arguments, **self._captured.values()}

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


class _Call:
    """One call: its results, and how to differentiate them later."""

    def __init__(
        self, function: LiftedFunction, executable: Executable, groups: list[LeafGroup]
    ) -> None:
        self.function, self.executable = function, executable
        built = executable.built
        self.parameters = {
            i: Parameters(groups[i].values, function.dtype) for i in built.parameter_groups
        }
        samples = samples_of(groups, built.batched_groups)
        self.run: NativeRun | NumpyRun = executable.start(samples, self.parameters)
        self.saved: list[NDArray[Any]] | None = None
        previous = self.run.owner() if self.run.owner is not None else None
        if previous is not None:
            previous.save()
        for i, number in built.leaf_of.items():
            if i not in self.parameters:
                self.run.feed(number, checked_numbers(groups[i], i, built))
            elif self.parameters[i].store is None:
                self.run.feed(number, self.parameters[i].numbers())
        self.run.forward()
        self.run.owner = weakref.ref(self)

    def results(self) -> Any:
        """Return the function's results."""
        built = self.executable.built
        views = iter(enumerate(zip(self.executable.results, built.batched_outputs, strict=True)))
        leaves: list[Any] = []
        for place in range(built.outputs + len(built.fixed)):
            if place in built.fixed:
                leaves.append(built.fixed[place])
                continue
            number, (view, batched) = next(views)
            data = self.run.numbers(view)
            leaves.append(data[0] if batched else LiftedValue(data.item(), self, number))
        return built.rebuild(iter(leaves))

    def save(self) -> None:
        """Keep the gradient of the one result before another call overwrites its numbers."""
        if self.saved is None and self.executable.built.outputs == 1 and self.parameters:
            self.saved = self._gradients(np.ones(1))
        self.run.owner = None

    def backward(self, seeds: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the gradients of each parameter group for these adjoints of the results."""
        with self.function.lock:  # noqa: SLF001
            if self.run.owner is not None and self.run.owner() is self:
                return self._gradients(seeds)
            if self.saved is not None:
                return [gradient * seeds[0] for gradient in self.saved]
            raise LiftError(
                f"backward() of one of several results of {self.function.__name__} after another "  # type: ignore[attr-defined]
                "call overwrote its numbers; call backward() before calling the function again."
            )

    def _gradients(self, seeds: NDArray[Any]) -> list[NDArray[Any]]:
        if not self.parameters:
            return []
        self.run.backward(seeds)
        return [self.run.numbers(view) for view in self.executable.built.gradients]

    def accumulate(self, seeds: NDArray[Any]) -> None:
        """Add the gradients to the parameters' own."""
        for parameters, gradient in zip(
            self.parameters.values(), self.backward(seeds), strict=False
        ):
            parameters.add_gradients(gradient)

    def node(self) -> Value:
        """Return the call as one Value made of all parameters, for graphs that go on eagerly."""
        leaves = [v for parameters in self.parameters.values() for v in parameters.values]

        def pullback(seeds: "_Seeds", _y: float, *_x: float) -> tuple[float, ...]:
            vector = np.zeros(self.executable.built.outputs)
            for place, adjoint in seeds.adjoints.items():
                vector[place] = adjoint
            return tuple(x for part in self.backward(vector) for x in part.tolist())

        return Value(0.0, leaves, Operation("lifted", float, pullback, "lifted", "lifted"))


class _Seeds:
    """The adjoints of a call's results, collected while a graph is walked backward."""

    def __init__(self, adjoints: dict[int, float]) -> None:
        self.adjoints = adjoints

    def __radd__(self, other: Any) -> "_Seeds":
        if not isinstance(other, _Seeds):
            return self
        joined = dict(other.adjoints)
        for place, adjoint in self.adjoints.items():
            joined[place] = joined.get(place, 0.0) + adjoint
        return _Seeds(joined)

    __add__ = __radd__


class LiftedValue(Value):
    """A result of a lifted function: a Value whose graph is one node, the call."""

    __slots__ = ("_call", "_place")
    _copied_as = Value

    def __init__(self, data: float, call: _Call, place: int) -> None:
        self.data, self.grad, self.label = data, 0.0, ""
        self._call, self._place = call, place

    def backward(self, *, create_graph: bool = False) -> None:
        """Set the gradients of all parameters; see `Value.backward`."""
        if create_graph:
            raise _no_graph()
        self.grad = 1.0
        seeds = np.zeros(self._call.executable.built.outputs)
        seeds[self._place] = 1.0
        self._call.accumulate(seeds)

    @property
    def _prev(self) -> tuple[Value, ...]:  # type: ignore[override]
        call = self._call
        if not call.parameters:
            return ()
        with call.function.lock:  # noqa: SLF001
            node = _nodes.get(call)
            if node is None:
                node = _nodes[call] = call.node()
        return (node,)

    @property
    def _operation(self) -> Operation | str:  # type: ignore[override]
        place = self._place

        def pullback(g: Any, _y: float, _call: float) -> tuple[_Seeds]:
            if isinstance(g, Value):
                raise _no_graph()
            return (_Seeds({place: g}),)

        return Operation("result", float, pullback, "{0}", "lifted")

    def __getstate__(self) -> Any:
        slots = {"data": self.data, "grad": self.grad, "label": self.label}
        return None, {**slots, "_prev": (), "_operation": ""}


_nodes: "weakref.WeakKeyDictionary[_Call, Value]" = weakref.WeakKeyDictionary()
"""The call's Value, as long as the call lives, so that all its results share it."""


def _no_graph() -> LiftError:
    return LiftError(
        "create_graph=True through a lifted function; take derivatives inside of it, with "
        "grad(grad(f)), hessian(f) or hvp(f)."
    )


def samples_of(groups: list[LeafGroup], batched: set[int]) -> int:
    """Return the size of the batch, 1 where nothing is mapped over."""
    sizes = {len(groups[i].array) for i in batched}  # type: ignore[arg-type]
    if len(sizes) > 1:
        named = ", ".join(f"{groups[i].name} {groups[i].array.shape}" for i in sorted(batched))  # type: ignore[union-attr]
        raise LiftError(f"vmap over arrays of different lengths: {named}; make them equal.")
    return sizes.pop() if sizes else 1


def checked_numbers(group: LeafGroup, number: int, built: Built) -> NDArray[Any]:
    """Return a leaf group's numbers, of shape (size,) or (size, samples), indices in range."""
    if number in built.batched_groups:
        assert group.array is not None
        numbers = group.array.reshape(len(group.array), -1).T
    else:
        numbers = group.numbers()
    if group.kind == "index":
        extents = built.index_bounds.get(number)
        if extents is not None:
            limits = extents if numbers.ndim == 1 else extents[:, None]
            wrong = (numbers < 0) | (numbers >= limits)
            if wrong.any():
                place = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
                raise IndexError(
                    f"take() at index {numbers[place]} of a table of {extents[place[0]]}, from the "
                    f"argument {group.name}; indices go from 0 to {extents[place[0]] - 1}."
                )
        if numbers.dtype.kind == "u" and numbers.size and numbers.max() > np.iinfo(np.int64).max:
            raise LiftError(
                f"the argument {group.name} holds integers beyond int64; indices must fit into it."
            )
    return numbers
