"""Printing: models as text that fits a screen."""

from itertools import groupby

_NEURONS = 16
"""So many are written one by one, as micrograd writes them."""
_ALIKE = 3
"""So many modules that print alike are written once."""
_MODULES, _SHOWN = 24, 10
"""Of more than so many different ones, so many at either end are shown."""


def in_brackets(texts: list[str]) -> str:
    """Return neurons, or layers, in brackets as micrograd writes them, the first few of many.

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
    for (*_, text), run in groupby(modules, key=_place_and_text):
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


def _place_and_text(module: tuple[str, str]) -> tuple[str, str, str]:
    """Return what modules have in common that are alike and follow each other in one list."""
    name, text = module
    place, _, last = name.rpartition(".")
    return place, "" if last.isdecimal() else last, text
