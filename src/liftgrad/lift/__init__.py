"""The lift: from scalar programs to tensor programs in machine code.

`pipeline` is the road that a program travels, in one function:

    function ─trace→ tape ─roll→ groups ─adjoint→ ─update→ groups ─schedule→ nests ─kernels→ code

Each stage is a folder, which imports from those below it only; its first lines say what goes in and
what comes out. From the top: `function` is what `lift` returns, and `train` takes many steps at a
time; `source` is a function that programs are recovered from, and `update` an optimiser's rule;
`compare` checks first results against the eager engine; `run` runs programs, from `native` memory;
`rolling`, `loops`, `differentiation`, `scheduling` and `kernels` make them, and `explain` prints
them; `capture`, `purity`, `stand_ins`,
`trace` and `call` take a function and its call apart; `ir` holds the two languages of programs.

Python binds a package's name in its parent, whoever imports it first, and `liftgrad.lift` is to be
the decorator. So the function stands for the package, too: it has what imports ask a package for,
and it is a function to `help`, to editors and to whoever calls it. The package imports no module of
its own: threads that import several of them would wait for each other.
"""

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from liftgrad.lift.function import LiftedFunction, P, R_co

DType = Literal["float64", "float32"]
Backend = Literal["native", "numpy"]


@overload
def lift(
    function: "Callable[P, R_co]",
    /,
    *,
    dtype: DType = "float64",
    backend: Backend = "native",
    check: bool | None = None,
) -> "LiftedFunction[P, R_co]": ...
@overload
def lift(
    *, dtype: DType = "float64", backend: Backend = "native", check: bool | None = None
) -> "Callable[[Callable[P, R_co]], LiftedFunction[P, R_co]]": ...
def lift(
    function: Callable[..., Any] | None = None,
    /,
    *,
    dtype: DType = "float64",
    backend: Backend = "native",
    check: bool | None = None,
) -> Any:
    """Return the function lifted from scalars to tensors: traced once, rolled up and compiled.

    It runs on copies of its arguments. Results that it stores in new attributes of objects, as in
    `self.out = ...`, are gone after the call, and the next call does not see them; any other change
    of what outlives the call is refused. So is what may differ at the next call: drawing random
    numbers (other than by `functional.uniform`), reading the clock, the environment or a file,
    taking items from an iterator that the function did not make.

    Natively, sums of products are added up in another order than eagerly, and each term is rounded
    once: the results agree to a few units in the last place of the sum of the terms' absolute
    values. If products overflow with both signs within a program, the result may be infinite, or a
    number, where eager's is nan.

    Args:
        function: a scalar program; see `LiftedFunction` for what it may take and return.
        dtype: the type to compute in; float32 rounds parameters, too.
        backend: "native" (LLVM) or "numpy".
        check: whether each program's first result, and the first one for other numbers, are
            compared with the function's own, run eagerly on copies. True: always; False: never;
            None: as LIFTGRAD_CHECK=1 or =0 in the environment says, or else if that takes 20,000
            operations at most. Programs that draw random numbers are not compared.

    Raises:
        LiftError: if it is not a function; when called, if the lifted program gives another result
            than the function itself.

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
    from liftgrad.lift.function import lifted  # noqa: PLC0415, which needs NumPy

    return lifted(function, dtype, backend, check)


vars(lift).update(vars(sys.modules[__name__]))
lift.__module__, lift.__name__ = "liftgrad", __name__
sys.modules[__name__] = lift  # type: ignore[assignment]
