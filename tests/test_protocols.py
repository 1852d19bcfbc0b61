"""What layers ask of objects from above is listed in `protocols`, and those have it."""

import ast
import random
from pathlib import Path

import pytest

import liftgrad
from liftgrad import Value, protocols
from liftgrad.composition import _Symbol
from liftgrad.lift.differentiation.symbol import Symbol
from liftgrad.lift.run.parameters import Window
from liftgrad.lift.stand_ins.arrays import TracedArray
from liftgrad.lift.stand_ins.indices import TracedIndex
from liftgrad.lift.stand_ins.values import Condition, TracedNumber, TracedValue
from liftgrad.lift.stand_ins.vmap import Batch
from liftgrad.nn.one_output import OneOutput
from liftgrad.record.values import Adopted, Recorded
from liftgrad.variable import Variable

PROTOCOLS = {
    name: {*vars(x), *vars(x).get("__annotations__", ())}
    for name, x in vars(protocols).items()
    if isinstance(x, type) and protocols.Protocol in x.__bases__
}
MEMBERS = {
    name: {member for member in members if not member.startswith("__") and member[:4] != "_abc"}
    - {"_is_protocol", "_is_runtime_protocol"}
    for name, members in PROTOCOLS.items()
}
OTHERS = {"_fields", "_recording"}
"""Of named tuples; and of the Values of recording mode, which that asks for itself."""
NUMBERS = (TracedValue, TracedNumber, TracedIndex)
CLASSES = {
    "Scalar": (Value, Recorded, Adopted, Window, Variable, *NUMBERS, Symbol, _Symbol),
    "Condition": (Condition, Symbol, _Symbol),
    "Differentiable": (Variable,),
    "Index": (TracedIndex,),
    "Results": (Batch,),
    "Drawing": (*NUMBERS, Variable),
    "OnTape": (*NUMBERS, Condition, TracedArray),
    "StandsForNumber": (TracedNumber, TracedIndex, Condition),
    "StandsForArray": (TracedArray,),
    "ForSamples": (TracedValue, TracedNumber),
    "Stored": (Window,),
    "Known": (Value, *NUMBERS, Condition, TracedArray, Batch, OneOutput),
}


def asked():
    """Yield where which private attribute is asked for by its name."""
    package = Path(liftgrad.__file__).parent
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(ast.Name("hasattr" | "getattr"), [_, ast.Constant(str(name)), *_]):
                    if name.startswith("_") and not name.startswith("__"):
                        yield f"{path.relative_to(package)}:{node.lineno}", name


def test_whatever_is_asked_for_is_listed():
    """No private attribute is asked for that is in no protocol."""
    listed = set().union(*MEMBERS.values()) | OTHERS
    found = dict(asked())
    assert len(found) > 15
    assert {place: name for place, name in found.items() if name not in listed} == {}


def test_whatever_is_listed_is_asked_for():
    """Each protocol has a member that somebody asks for."""
    names = {name for _, name in asked()}
    assert [name for name, members in MEMBERS.items() if not members & (names | {"primal"})] == []


@pytest.mark.parametrize("name", MEMBERS)
def test_classes_have_what_they_are_asked_for(name):
    """All members of the protocols that are theirs."""
    for kind in CLASSES[name]:
        lacking = [member for member in MEMBERS[name] if not hasattr(kind, member)]
        assert lacking == [], (kind, lacking)


def test_plain_numbers_have_none_of_it():
    """So that they are told from all others by that."""
    for x in (1, 2.0, True, [1.0], random.Random(), None):
        assert [m for members in MEMBERS.values() for m in members if hasattr(x, m)] == []
