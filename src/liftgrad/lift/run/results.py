"""Results: one call of a lifted function, and the Values that it returns."""

import math
import threading
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

from liftgrad.engine import Value
from liftgrad.errors import LiftError
from liftgrad.lift.call.leaves import LeafGroup
from liftgrad.lift.pipeline import Built
from liftgrad.lift.run.drawing import drawing
from liftgrad.lift.run.executable import Executable, NativeRun
from liftgrad.lift.run.given import checked_numbers, samples_of
from liftgrad.lift.run.numpy_executor import execute
from liftgrad.lift.run.numpy_run import NumpyRun
from liftgrad.lift.run.parameters import Parameters
from liftgrad.lift.run.runs import ONE, Seeds, nobody
from liftgrad.lift.tracebacks import hide_own_frames
from liftgrad.ops import Operation

_FEW_OPERATIONS = 1_000_000


class Prepared:
    """What calls of one structure with the same parameters share."""

    def __init__(
        self, name: str, lock: threading.RLock, executable: Executable, groups: list[LeafGroup]
    ) -> None:
        self.name, self.lock, self.executable = name, lock, executable
        built = executable.built
        self.single, self.double = built.single, executable.dtype == "float64"
        self.kind = _kind(self.single and built.plain_outputs[0])
        with np.errstate(all="ignore"):  # float32 may overflow
            self.parameters = {
                i: Parameters(groups[i].values, executable.dtype) for i in built.parameter_groups
            }
        self.samples = samples_of(groups, built.batched_groups)
        if built.averaged and not self.samples:
            raise ValueError(f"{name}: mean of no numbers is undefined; pass at least one row.")
        self.run: NativeRun | NumpyRun = executable.start(self.samples, self.parameters)
        self.shapes = {
            i: g.array.shape if g.array is not None and g.kind == "input" else None
            for i, g in enumerate(groups)
            if i in built.leaf_of and i not in self.parameters
        }
        """The shape of each input that is an array, by its group in the arguments."""
        self.inputs = self._inputs()
        """Each input's group in the arguments and in the program, and the memory to copy it to."""
        self.apart = [(i, p) for i, p in self.parameters.items() if p.store is None]
        self.unread = [i for i in built.index_bounds if i not in built.leaf_of]
        """Index groups that only unused results read: their bounds are checked all the same."""
        self.whole = not (self.apart or built.draws or self.unread)
        """Whether nothing but inputs has to be set or checked."""
        self.copied = self._is_copied()
        """Whether copying arrays is all there is to do: the most frequent case."""
        self.inner = any(value._prev for _, p in self.apart for value in p.values)
        """Whether some parameters are results of other Values."""

    def _inputs(self) -> list[tuple[int, int, NDArray[Any] | None]]:
        leaf_of = self.run.built.leaf_of
        return [
            (i, leaf_of[i], None if shape is None else self.run.target(leaf_of[i], shape))
            for i, shape in self.shapes.items()
        ]

    def _is_copied(self) -> bool:
        arrays = all(target is not None for *_, target in self.inputs)
        return self.double and self.whole and arrays

    def with_gradient(self) -> NativeRun | NumpyRun:
        """Return the run, from now on of the program with its gradient, with the same numbers."""
        self.run.refuse_outdated()
        executable = self.executable.with_gradient()
        run = executable.run_in_place_of(self.run, self.samples, self.parameters)
        self.executable, self.run = executable, run
        self.inputs = self._inputs()
        self.copied = self._is_copied()
        return run

    def call(self, groups: list[LeafGroup]) -> Any:
        """Run the program on the numbers in the groups and return its results."""
        run = self.run
        previous = run.owner()
        if previous is not None:
            previous.save()
        if self.copied:
            for i, _, target in self.inputs:
                target[...] = groups[i].array  # type: ignore[index]
        elif self.double:
            self.feed(groups)
        else:
            with np.errstate(all="ignore"):  # numbers may overflow; this takes its microsecond
                self.feed(groups)
        run.forward()
        call = Call(self)
        if not self.single:
            return call.results()
        number = run.single()
        if number - number != 0.0:
            number = self._infinite(number, groups)
        return self.kind(number, call, 0)

    def _infinite(self, number: float, groups: list[LeafGroup]) -> float:
        """Return an infinite result as computed without fma: nan if terms overflow to both signs.

        Programs that are large or draw random numbers are not computed again.
        """
        built = self.executable.built
        few = built.scalar_operations * self.samples <= _FEW_OPERATIONS
        if math.isnan(number) or built.draws or not few or isinstance(self.run, NumpyRun):
            return number
        return computed(built, groups, self.executable.dtype)[0]

    def feed(self, groups: list[LeafGroup]) -> None:
        """Copy the numbers in the groups to the program's memory."""
        for i, leaf, target in self.inputs:
            if target is not None:
                target[...] = groups[i].array
            else:
                self.run.feed(leaf, checked_numbers(groups[i], i, self.run.built))
        if self.whole:
            return
        built = self.run.built
        for i in self.unread:
            checked_numbers(groups[i], i, built)
        for i, parameters in self.apart:
            self.run.feed(built.leaf_of[i], parameters.numbers())
        if built.draws:
            with drawing(built.draws, self.samples) as draw:
                for group, numbers in draw():
                    self.run.feed(group, numbers)


class Call:
    """One call: its results, and how they are differentiated later."""

    __slots__ = ("__weakref__", "_node", "prepared", "reference", "run", "saved")

    def __init__(self, prepared: Prepared) -> None:
        self.prepared, self.run = prepared, prepared.run
        self.saved: list[NDArray[Any]] | None = None
        self._node: Value | None = None
        self.reference = self.run.owner = weakref.ref(self)

    def results(self) -> Any:
        """Return the function's results, as the function nests them."""
        built = self.run.built
        views = iter(enumerate(zip(built.rolled.outputs, built.batched_outputs, strict=True)))
        leaves: list[Any] = []
        for place in range(built.outputs + len(built.fixed)):
            if place in built.fixed:
                leaves.append(built.fixed[place])
                continue
            position, (view, batched) = next(views)
            data = self.run.numbers(view)
            if batched:
                # A result that is the same for all samples is stored once.
                leaves.append(np.array(np.broadcast_to(data[0], self.prepared.samples)))
            else:
                kind = _kind(built.plain_outputs[position])
                leaves.append(kind(data.item(), self, position))
        return built.rebuild(iter(leaves))

    def save(self) -> None:
        """Save the gradient of the only result before another call overwrites its numbers."""
        if (
            self.saved is None
            and self.prepared.executable.built.outputs == 1
            and self.prepared.parameters
        ):
            self.saved = self._gradients(ONE)
        self.run.owner = nobody

    def settle(self) -> None:
        """Save the gradient of the only result before the parameters change."""
        with self.prepared.lock:
            run = self.run
            if run.owner is not self.reference or isinstance(run, NumpyRun):
                return
            if self.prepared.executable.built.outputs > 1:
                run.outdated = True
                return
            foreseen = run.foreseen
            self.save()
            run.foreseen = foreseen  # it was not asked for by the user

    def backward(self, seeds: Seeds) -> list[Any]:
        """Return the gradients of each parameter group for these adjoints of the results."""
        with self.prepared.lock:
            if self.run.owner is self.reference:
                return self._gradients(seeds)
            if self.saved is not None:
                with np.errstate(all="ignore"):
                    return [gradient * seeds[0] for gradient in self.saved]
            raise LiftError(
                f"backward() of one of several results of {self.prepared.name} after another "
                "call overwrote its numbers; call backward() before calling the function again."
            )

    def _gradients(self, seeds: Seeds) -> list[Any]:
        if not self.prepared.parameters:
            return []
        run = self.run if self.run.differentiable else self._with_gradient()
        run.backward(seeds)
        return [run.gradient(view) for view in run.built.gradients]

    def _with_gradient(self) -> NativeRun | NumpyRun:
        """Return the run, of a program that has its gradient as well from now on."""
        assert self.run is self.prepared.run
        self.run = self.prepared.with_gradient()
        return self.run

    def accumulate(self, seeds: Seeds) -> None:
        """Add the gradients to the parameters' own."""
        prepared = self.prepared
        with prepared.lock:
            run = self.run
            if run.owner is self.reference and prepared.parameters:
                if not run.differentiable:
                    run = self._with_gradient()
                if run.accumulate(seeds):
                    return
                gradients = run.gradients()
            else:
                gradients = self.backward(seeds)
            for parameters, gradient in zip(prepared.parameters.values(), gradients, strict=False):
                parameters.add_gradients(gradient)

    def node(self) -> Value:
        """Return the call as one node on all parameters, for graphs that go on eagerly."""
        with self.prepared.lock:  # all results share it
            if self._node is None:
                self._node = self._as_value()
        return self._node

    def _as_value(self) -> Value:
        leaves = [v for parameters in self.prepared.parameters.values() for v in parameters.values]
        reference = self.reference  # which a result in the graph keeps alive

        def pullback(seeds: "_Seeds", _y: float, *_x: float) -> tuple[float, ...]:
            call = reference()
            assert call is not None
            outputs = range(call.prepared.executable.built.outputs)
            vector = tuple([float(seeds.adjoints.get(place, 0.0)) for place in outputs])
            return tuple(x for part in call.backward(vector) for x in part.tolist())

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
    _copied_alone = True

    def __init__(self, data: float, call: Call, place: int) -> None:
        self.data, self.grad, self.label = data, 0.0, ""
        self._call, self._place = call, place

    def backward(self, *, create_graph: bool = False) -> None:
        """Set the gradients of all parameters; see `Value.backward`."""
        if create_graph:
            raise _no_graph()
        try:
            call = self._call
            prepared = call.prepared
            if prepared.inner:
                super().backward()
                return
            self.grad = 1.0
            if prepared.single:
                call.accumulate(ONE)
                return
            places = range(prepared.executable.built.outputs)
            call.accumulate(tuple([float(place == self._place) for place in places]))
        except Exception as error:
            hide_own_frames(error)
            raise

    @property
    def _prev(self) -> tuple[Value, ...]:  # type: ignore[override]
        call = self._call
        if not call.prepared.parameters:
            return ()
        return (call.node(),)

    @property
    def _numbers(self) -> tuple[float, ...]:
        return self.data, 0.0  # the call itself knows at which numbers it was made

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


class LiftedNumber(LiftedValue):
    """A result that is a plain number or a bool eagerly: it converts and compares as one."""

    __slots__ = ()

    def __float__(self) -> float:
        return self.data

    def __int__(self) -> int:
        return int(self.data)

    def __bool__(self) -> bool:
        return self.data != 0.0

    def __eq__(self, other: object) -> bool:
        return self.data == (other.data if isinstance(other, Value) else other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self.data)


def _kind(plain: bool) -> type[LiftedValue]:
    return LiftedNumber if plain else LiftedValue


def _no_graph() -> LiftError:
    return LiftError(
        "create_graph=True through a lifted function; take derivatives inside of it, with "
        "grad(grad(f)), hessian(f) or hvp(f)."
    )


def gradients_of(result: LiftedValue) -> dict[int, list[float]]:
    """Return the gradient of a call's only result by each parameter, by the arguments' groups.

    The parameters' own gradients do not change.
    """
    call = result._call
    run, groups = call.run, call.prepared.executable.built.parameter_groups
    foreseen = isinstance(run, NativeRun) and run.foreseen
    gradients = [part.tolist() for part in call.backward(ONE)]
    if isinstance(run, NativeRun):
        run.foreseen = foreseen  # it was not asked for by the user
    return dict(zip(groups, gradients, strict=False))


def computed(built: Built, groups: list[LeafGroup], dtype: str) -> list[float]:
    """Return a program's results without machine code, and so without fma."""
    leaves = {leaf: checked_numbers(groups[i], i, built) for i, leaf in built.leaf_of.items()}
    leaves |= built.constants
    with np.errstate(all="ignore"):  # float32 may overflow
        leaves = {i: x.astype(dtype) if x.dtype.kind == "f" else x for i, x in leaves.items()}
    if built.sizes is not None:
        leaves[built.sizes] = np.array([samples_of(groups, built.batched_groups)], dtype)
    arrays = execute(built.rolled, leaves, dtype, stop=built.forward)
    views = built.rolled.outputs
    return [float(x) for view in views for x in arrays[view.group][view.positions].ravel()]
