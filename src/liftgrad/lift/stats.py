"""Stats: what lifting a function took so far, and how much time each stage of the road."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from liftgrad.legible import printable


@dataclass(slots=True)
class Stats:
    """What lifting a function took so far."""

    traces: int = 0
    cache_hits: int = 0
    scalar_operations: int = 0
    """Of the last program traced, forward only."""
    tensor_operations: int = 0
    """Loop nests of the last program built."""
    kernels: int = 0
    """Distinct kernels among them."""
    differentiated: bool = True
    """Whether its gradient is among them: for several results it waits until it is asked for."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Time spent in each stage, over all programs."""

    def __str__(self) -> str:
        traces = "1 trace" if self.traces == 1 else f"{self.traces:,} traces"
        calls = "1 call" if self.cache_hits == 1 else f"{self.cache_hits:,} calls"
        gradient = "with" if self.differentiated else "without"
        seconds = ", ".join(f"{stage} {s:.3f} s" for stage, s in self.seconds.items())
        return printable(
            f"{traces}, {calls} served by a program that was there already\n"
            f"{self.scalar_operations:,} scalar operations → {self.tensor_operations:,} tensor "
            f"operations ({gradient} the gradient), {self.kernels:,} kernels\n{seconds}"
        )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to a stage, unless the block raises."""
        since = time.perf_counter()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - since
