"""Operations in C: the instructions of their LLVM templates, one by one, as C expressions."""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from liftgrad.errors import LiftError

_TYPES = frozenset({"T", "I", "t", "mask"})
"""What a template leaves open that is no operand."""
_INSTRUCTIONS = {
    "fadd": "{0} + {1}",
    "fsub": "{0} - {1}",
    "fmul": "{0} * {1}",
    "fdiv": "{0} / {1}",
    "fneg": "-{0}",
    "select": "{0} ? {1} : {2}",
    "sitofp": "({T}){0}",
}
_CONDITIONS = {
    "fcmp oeq": "{0} == {1}",
    "fcmp une": "{0} != {1}",
    "fcmp olt": "{0} < {1}",
    "fcmp ole": "{0} <= {1}",
    "fcmp ogt": "{0} > {1}",
    "fcmp oge": "{0} >= {1}",
    "fcmp ord": "!isunordered({0}, {1})",
    "fcmp uno": "isunordered({0}, {1})",
    "and": "{0} && {1}",
    "or": "{0} || {1}",
    "xor": "{0} != {1}",
}
_INTRINSICS = {
    **{name: name for name in ("fabs", "sqrt", "floor", "ceil", "trunc", "rint", "round")},
    **{name: name for name in ("copysign", "fma", "exp", "exp2", "log", "log2", "log10", "pow")},
    **{name: name for name in ("sin", "cos", "tan", "asin", "acos", "atan", "atan2")},
    **{name: name for name in ("sinh", "cosh", "tanh", "nearbyint")},
    "maxnum": "fmax",
    "minnum": "fmin",
    "fmuladd": "fma",
}
"""<math.h>'s functions, by the names of LLVM's intrinsics."""
_FUNCTIONS = {
    **{name: name for name in ("exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "erf")},
    "power": "pow",
    "sigmoid": "lg_sigmoid",
    "softplus": "lg_softplus",
}
"""The same by the names of the functions of `vector_math`."""
_DEFINITIONS = {
    "sigmoid": """\
static {T} lg_sigmoid{f}({T} x)
{{
    const {T} e = exp{f}(-fabs{f}(x));
    return (x < 0 ? e : 1) / (1 + e);
}}
""",
    "softplus": """\
static {T} lg_softplus{f}({T} x)
{{
    return (x > 0 ? x : 0) + log1p{f}(exp{f}(-fabs{f}(x)));
}}
""",
}


class Form(NamedTuple):
    """An instruction's form in C."""

    expression: str
    """With {0}, {1} for its operands, {T} for the type of numbers and {f} for the ending of the
    functions on them."""
    operands: tuple[str, ...]
    """As the template names them."""
    condition: bool
    """Whether the result is a condition, an int, instead of a number."""
    helper: str = ""
    """The function that it calls which <math.h> lacks."""


@lru_cache(maxsize=1024)
def form(instruction: str) -> Form:
    """Return C's form of an instruction of an LLVM template.

    Raises:
        LiftError: if there is none.

    """
    called = re.match(r"call \{T\} @(?:\{(?P<own>\w+)\}|llvm\.(?P<llvm>\w+)\.\{t\})", instruction)
    rest = instruction[called.end() :] if called else instruction
    operands = tuple(x for x in re.findall(r"\{([^{}]*)\}", rest) if x not in _TYPES)
    if called:
        own, intrinsic = called["own"], called["llvm"]
        function = _FUNCTIONS.get(own) if own else _INTRINSICS.get(intrinsic)
        if function is not None:
            arguments = ", ".join(f"{{{i}}}" for i in range(len(operands)))
            helper = own if own in _DEFINITIONS else ""
            return Form(f"{function}{{f}}({arguments})", operands, condition=False, helper=helper)
    name = instruction.partition("{")[0].strip()
    if name in _CONDITIONS:
        return Form(_CONDITIONS[name], operands, condition=True)
    if name in _INSTRUCTIONS:
        return Form(_INSTRUCTIONS[name], operands, condition=False)
    raise LiftError(
        f"there is no C for the LLVM instruction {instruction!r}; use other instructions in the "
        "operation's template, or leave it out and compose the operation of known ones."
    )


def definitions(needed: Iterable[tuple[str, str]]) -> list[str]:
    """Return the text of helpers, each given as its name and the type of its numbers."""
    return [
        _DEFINITIONS[name].format(T=scalar, f=suffix(scalar))
        for name, scalar in sorted(set(needed))
    ]


def suffix(scalar: str) -> str:
    """Return the ending of <math.h>'s functions, and of literals, for a type."""
    return "f" if scalar == "float" else ""
