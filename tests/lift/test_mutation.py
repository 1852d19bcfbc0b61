"""A lifted function must not mutate what outlives its call; if it did, that is undone."""

import importlib
import logging
import re
import sys
import textwrap
import threading

import pytest
from refused import refusal

from liftgrad import Value, lift, nn, optim

LAST = None


OTHER = """
    from collections import deque
    import numpy as np
    LAST = first = None
    LIST, DICT, SET, QUEUE, ARRAY = [1.0], {"a": 1.0}, {1}, deque([1.0]), np.ones(2)
    class Slim:
        __slots__ = ("x",)
        def __init__(self):
            self.x = 1.0
    class Config:
        last = None
        items = []
    CONFIG, SLIM = Config(), Slim()
    CONFIG.known = 1.0
    def keep(x):
        "A function with attributes."
    keep.calls = 0
    def closure():
        last = None
        def inner(x):
            nonlocal last
            last = x * 2.0
            return last
        return inner
    around = closure()
    def bind(x):
        global LAST
        LAST = x * 2.0
        return LAST
    def bind_new(x):
        global NEW
        NEW = x * 2.0
        return NEW
    def count(x):
        keep.calls += 1
        return x
    def module_attribute(x):
        import other_module
        other_module.first = x * 2.0
        return x
    def of_class(x):
        Config.last = x * 2.0
        return x
    def new_of_class(x):
        Config.newest = x * 2.0
        return x
    def by_name(x):
        globals()["LAST"] = x * 2.0
        setattr(Config, "la" + "st", x)
        return x
    def in_list(x):
        LIST.append(x * 2.0)
        return LIST[-1]
    def in_dict(x):
        DICT["a"] = DICT["b"] = x * 2.0
        return DICT["a"]
    def in_set(x):
        SET.add(2)
        return x
    def in_queue(x):
        QUEUE.appendleft(x)
        return x
    def in_array(x):
        ARRAY[0] += 1.0
        return x * ARRAY[0]
    def in_object(x):
        CONFIG.known = x * 2.0
        return x
    def in_slot(x):
        SLIM.x += 1.0
        return x
    def in_list_of_class(x):
        CONFIG.items.append(x)
        return x
    def in_default(x, seen=[]):
        seen.append(x)
        return x * len(seen)
"""


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Return another module of the user's."""
    tmp_path.joinpath("other_module.py").write_text(textwrap.dedent(OTHER))
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("other_module")
    sys.modules.pop("other_module")


def all_that_is_left(module):
    """Return what a module, its classes, functions and containers hold, as text."""
    space = {k: v for k, v in vars(module).items() if not k.startswith("__")}
    classes = [{k: v for k, v in vars(c).items() if k[:2] != "__"} for c in (module.Config,)]
    cells = [c.cell_contents for c in module.around.__closure__]
    attributes = [vars(module.CONFIG), module.SLIM.x, vars(module.keep)]
    return repr([space, classes, cells, attributes, module.in_default.__defaults__])


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        *(("around", "last"), ("bind", "LAST"), ("bind_new", "NEW"), ("count", "calls")),
        *(("module_attribute", "first"), ("of_class", "last"), ("new_of_class", "newest")),
        *(("by_name", "la?st|LAST"), ("in_list", "LIST"), ("in_dict", "DICT"), ("in_set", "SET")),
        *(("in_queue", "QUEUE"), ("in_array", "ARRAY"), ("in_object", "CONFIG")),
        *(("in_slot", "SLIM"), ("in_list_of_class", "items"), ("in_default", "default 0")),
    ],
)
def test_what_other_modules_hold_is_as_it_was(other, name, changed):
    """A function that changes another module's data is refused, and the change is undone."""
    function, before = getattr(other, name), all_that_is_left(other)

    class Layer(nn.Module):
        def __call__(self, x):
            return function(x)

    for f, argument in (
        (lambda x, _: function(x), None),
        (lambda x, f: f(x), function),
        (lambda x, layer: layer(x), Layer()),
    ):
        message = refusal(f, Value(1.0), argument)
        assert re.search(rf"({changed}) is changed by the lifted function", message)
        assert "return the new value" in message
        assert all_that_is_left(other) == before


def test_what_is_changed_before_an_error_is_put_back(other):
    """Changes before an error of the user's are undone."""
    before = all_that_is_left(other)
    with pytest.raises(ZeroDivisionError):
        lift(lambda x: other.in_list(x) / (1 // 0))(Value(1.0))
    assert all_that_is_left(other) == before


def test_results_stored_in_objects_of_other_modules_are_removed(other):
    """Traced values stored as new attributes are removed, as they go with copies of arguments."""

    def note(x):
        other.CONFIG.note = x * 2.0
        return other.CONFIG.note

    class Layer(nn.Module):
        def __call__(self, x):
            return note(x)

    assert lift(lambda layer, x: layer(x))(Layer(), Value(2.0)).data == 4.0
    assert not hasattr(other.CONFIG, "note")


@pytest.mark.parametrize("through", ["own", "helper", "method", "captured"])
def test_globals_that_a_function_binds_are_refused(through):
    """Binding a global is refused, in a function without captured data, too."""
    scale = Value(2.0)

    def own(x):
        global LAST  # noqa: PLW0603
        LAST = x * 2.0
        return LAST

    class Layer(nn.Module):
        def __call__(self, x):
            global LAST  # noqa: PLW0603
            LAST = x * 2.0
            return LAST

    layer = Layer()
    f = {
        "own": own,
        "helper": lambda x: own(x) * 1.0,
        "method": lambda x: layer(x) * 1.0,
        "captured": lambda x: own(x) * scale,
    }[through]
    assert "LAST is changed by the lifted function" in refusal(f, Value(1.0))
    assert LAST is None


def test_attributes_of_copied_functions_are_refused():
    """A function that counts its calls in an attribute is refused."""

    def helper(x):
        helper.calls += 1
        return x * 2.0

    helper.calls = 0
    assert "calls is changed" in refusal(lambda x: helper(x) * 1.0, Value(1.0))
    assert helper.calls == 0


def test_traced_numbers_do_not_stay_in_objects_of_libraries():
    """Traced values are removed from thread-local variables and attributes of loggers."""
    local, logger = threading.local(), logging.getLogger(__name__)
    logger.first = 1.0

    def keep(x):
        local.last = logger.first = logger.last = x * 2.0
        return x * 1.0

    assert re.search("(last|first) is changed", refusal(keep, Value(1.0)))
    assert logger.first == 1.0
    assert not hasattr(local, "last")
    assert not hasattr(logger, "last")


def test_slots_of_arguments_are_refused(other):
    """Setting a slot of an argument is refused, as setting an attribute is."""

    def f(x, slim):
        slim.x = x * 2.0
        return slim.x

    assert "slim is changed" in refusal(f, Value(1.0), other.Slim())


def test_an_optimiser_that_a_lifted_function_can_reach():
    """Its rate may be read; whatever moves its parameters is refused, and undone."""
    w = [Value(3.0)]
    optimizer = optim.SGD(w, lr=0.5, momentum=0.9)
    assert lift(lambda w: w[0] * optimizer.lr)(w).data == 1.5
    w[0].grad = 2.0
    for mistake in (
        lambda w: optimizer.step() or w[0] * 1.0,
        lambda w: optimizer.zero_grad() or w[0] * 1.0,
        lambda w: getattr(optimizer, "ste" + "p")() or w[0] * 1.0,
    ):
        for _ in range(2):
            assert "use a Trainer" in refusal(mistake, w)
            assert (w[0].data, w[0].grad, optimizer.steps) == (3.0, 2.0, 0)
            assert list(optimizer.state["momentum"]) == [0.0]
    w[0].grad = 0.0
    assert "use a Trainer" in refusal(lambda w: optimizer.zero_grad() or w[0] * 1.0, w)
