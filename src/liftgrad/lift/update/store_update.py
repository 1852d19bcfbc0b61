"""Store update: an optimiser's native update of a whole store, for `optimizer.step()`."""

from typing import Any

from liftgrad.lift.ir.groups import Builder, Leaf, View, identity
from liftgrad.lift.native.alignment import zeros
from liftgrad.lift.native.memory import BRIEF, NativeProgram
from liftgrad.lift.pipeline import Built, compiled
from liftgrad.lift.run.bound import Bound
from liftgrad.lift.run.parameters import Store, in_order
from liftgrad.lift.stats import Stats
from liftgrad.lift.update.rules import Update, Updated, add_update
from liftgrad.lift.update.settings import Settings
from liftgrad.optim import Optimizer


def store_update(store: Store, optimizer: Optimizer) -> "StoreUpdate | None":
    """Return the native update of a store, or None where LLVM is missing."""
    size, dtype = len(store.numbers), str(store.numbers.dtype)
    leaves = Builder()
    parameters = leaves.add(Leaf("parameters", size, "parameter"))
    gradients = leaves.add(Leaf("gradients", size, "parameter"))
    gradient = View(gradients, identity(size))

    def ending(built: Built) -> Updated:
        builder = Builder(built.rolled)
        values = {parameters: in_order(optimizer)}
        update = add_update(builder, optimizer, values, {parameters: gradient})
        return Updated(builder.program(), (), update.assignments, update=update)

    start = Built(leaves.program(), gradients=[gradient])
    made = compiled(lambda: start, ending, dtype, "native", Stats())
    if made.native is None:
        return None
    memory = {parameters: store.numbers, gradients: store.gradients}
    return StoreUpdate(made.native, made.end.update, memory, optimizer)


class StoreUpdate:
    """The native update of a store.

    Args:
        native: the update's program.
        update: what the optimiser's rules added to it.
        memory: the store's, for the leaf groups of the parameters and the gradients.
        optimizer: the optimiser.

    """

    def __init__(
        self, native: NativeProgram, update: Update, memory: dict[int, Any], optimizer: Optimizer
    ) -> None:
        # Not the optimiser itself: the store's table of updates holds it weakly.
        self.settings = Settings(optimizer)
        self.serves = self.settings.hold
        """Whether an optimiser is still what the update was made for."""
        self.same_parameters = self.settings.same_parameters
        numbers = next(iter(memory.values()))
        self.state = {
            name: zeros(numbers.shape, str(numbers.dtype)) for name in optimizer.state_names
        }
        """Shared with `optimizer.state`: each side sees the other's writes."""
        # A rule's parameters have neighbouring positions, in the order of the store.
        state = {
            leaf: self.state[name][positions[0] : positions[-1] + 1]
            for name, leaves in update.state.items()
            for leaf, positions in leaves
        }
        self.bound = Bound(native, 1, {**memory, **state})
        brief = len(numbers) * (1 + len(self.state)) <= BRIEF
        self.run = self.bound.plan(range(len(native.program.nests)), brief=brief).run
        # As a memoryview, of which an element is set in less time than an array's.
        self.rates: Any = self.bound.instance.arrays[update.rates].data

    def step(self, optimizer: Optimizer) -> None:
        """Move all parameters of the optimiser."""
        if self.state:
            for name, array in self.state.items():
                if optimizer.state[name] is not array:
                    array[:] = optimizer.state[name]
                    optimizer.state[name] = array
        position, rates, steps = 0, self.rates, optimizer.steps
        for rule in (optimizer,) if self.settings.single else optimizer.rules:
            for scalar in rule.scalars_at(steps):
                rates[position] = scalar
                position += 1
        self.run()
