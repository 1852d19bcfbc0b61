"""Printing: models as text that fits on a screen."""

from itertools import groupby

_NEURONS = 16
"""Up to this many are listed one by one, as micrograd does."""
_ALIKE = 3
"""From this many on, consecutive modules with the same text are written once."""
_MODULES, _SHOWN = 24, 10
"""Of more than `_MODULES` different ones, the first and the last `_SHOWN` are shown."""


def in_brackets(texts: list[str]) -> str:
    """Return neurons, or layers, in brackets as micrograd writes them; of many, the first few.

    >>> in_brackets(["ReLUNeuron(2)"] * 100)
    '[ReLUNeuron(2), ReLUNeuron(2), ReLUNeuron(2), ... (100 in all)]'
    """
    if len(texts) > _NEURONS:
        texts = [*texts[:3], f"... ({len(texts)} in all)"]
    return f"[{', '.join(texts)}]"


def abridged(modules: list[tuple[str, str]]) -> list[str]:
    """Return lines for modules by name, as PyTorch writes them.

    >>> abridged([("0", "ReLU()"), ("1", "ReLU()"), ("2", "ReLU()"), ("3", "Tanh()")])
    ['  (0-2): 3 x ReLU()', '  (3): Tanh()']
    """
    lines = []
    for (*_, text), run in groupby(modules, key=_list_and_text):
        names = [name for name, _ in run]
        inside = text.replace("\n", "\n  ")
        if len(names) >= _ALIKE:
            last = names[-1].rpartition(".")[2]
            lines.append(f"  ({names[0]}-{last}): {len(names)} x {inside}")
        else:
            lines += [f"  ({name}): {inside}" for name in names]
    if len(lines) > _MODULES:
        left_out = len(lines) - 2 * _SHOWN
        lines[_SHOWN:-_SHOWN] = [f"  ... ({left_out} more)"]
    return lines


def _list_and_text(module: tuple[str, str]) -> tuple[str, str, str]:
    """Return a key that is equal for modules of one list that have the same text."""
    name, text = module
    inside, _, last = name.rpartition(".")
    return inside, "" if last.isdecimal() else last, text
