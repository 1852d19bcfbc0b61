"""Liftable: which objects `lift` takes, and what to write instead of others."""

import functools
import inspect
import types
from typing import Any

import numpy as np

from liftgrad.nn import Module
from liftgrad.numbers import kind_of
from liftgrad.ops import Operation


def why_not_liftable(x: Any) -> str | None:
    """Return what to lift instead of `x`, in a sentence; None if `x` is a traceable function."""
    if not isinstance(x, types.FunctionType):
        return f"lift() takes a function, and this is {_instead(x)}."
    if inspect.iscoroutinefunction(x) or inspect.isgeneratorfunction(x):
        kind = "an async" if inspect.iscoroutinefunction(x) else "a generator"
        return (
            f"lift() takes a function that returns its results, and {x.__name__} is {kind} "
            "function; return a list of them."
        )
    return None


def _instead(x: Any) -> str:
    """Return what `x` is and what to write instead."""
    name = getattr(x, "__name__", "")
    match x:
        case staticmethod() | classmethod() | property():
            kind = type(x).__name__
            return f"a {kind}; write @{kind} above @lift, not below it"
        case types.BuiltinFunctionType() | np.ufunc():
            return (
                f"{name}, which is not written in Python; call a function of liftgrad.functional "
                "in one of your own: lift(lambda x: functional.exp(x))"
            )
        case type():
            return (
                f"the class {name}; decorate one of its methods, or a function that takes an "
                "instance of it as an argument"
            )
        case types.MethodType():
            return (
                f"the method {name} of one object; write @lift above its definition in the class, "
                f"or take the object as an argument: lift(lambda object, x: object.{name}(x))"
            )
        case Operation():
            operands = "x" if x.arity == 1 else "*xs"
            return (
                f"the operation {x.name}; write a function that calls it: "
                f"lift(lambda {operands}: {x.name}({operands}))"
            )
        case functools.partial():
            return "a functools.partial; lift the function, and pass all of its arguments to that"
        case Module():
            return (
                f"a model, {type(x).__name__}; write a function that takes it as an argument: "
                "lift(lambda model, x: model(x))"
            )
        case str():
            return "text; options are named, as in @lift(dtype='float32')"
        case _ if callable(x) and hasattr(x, "__wrapped__"):
            return f"a wrapper around one; lift the function itself, {name}.__wrapped__"
        case _ if callable(x):
            return (
                f"an object of the class {type(x).__name__}; write a function that takes it as an "
                "argument: lift(lambda object, x: object(x))"
            )
    return f"{kind_of(x)}; write a function that computes it"
