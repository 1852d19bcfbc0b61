"""Damaged files: bits flipped, parts cut off, fields made up; and what comes of loading them."""

import copy
import signal
import warnings
from collections import Counter
from contextlib import contextmanager

import numpy as np

from liftgrad.sealed import seal, unseal

HOSTILE = [
    *(None, True, False, 0, -1, 1, 2, 3.5, -0.0, 1e308, float("nan"), float("-inf")),
    *(2**31, 2**40, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**400),
    *("", "x", "relu", "3", "\x1b[31m\n", "é" * 1000, "__class__", "fit", "U1000000000"),
    *([], [0], [[]], [1, 2, 3], ["a"], [None] * 5, {}, {"a": 1}, {"": []}, [2**40] * 3),
]


EXPECTED = ("refused", "as it was", "made up")


def flipped(content, rng):
    """Return the file with one bit flipped, or some."""
    damaged = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
    return bytes(damaged)


def cut(content, rng):
    """Return the file without a part, or with a part that is zero, another's or twice there."""
    a, b = sorted(rng.choices(range(len(content) + 1), k=2))
    part = content[a:b]
    there = rng.choice([b"", b"", bytes(len(part)), rng.randbytes(len(part)), part + part])
    if rng.random() < 0.3:
        return content[:a]
    return content[:a] + there + content[b:]


def crafted(kind, path, rng):
    """Return the file with some fields made up, and the right digest."""
    arrays, entry = unseal(kind, path)
    for _ in range(rng.choice([1, 1, 2])):
        if rng.random() < 0.3 and arrays:
            _craft_array(arrays, rng)
        else:
            entry = made_up(entry, rng)
    return seal(kind, arrays, entry)


def made_up(fields, rng):
    """Return a JSON object with one field made up, or with none."""
    fields = copy.deepcopy(fields)
    places = list(_places(fields))
    if places:
        _craft_field(*rng.choice(places), rng)
    return fields


def _places(x):
    """Yield (container, key) of all that is in a JSON value; of long lists only the first."""
    items = x.items() if isinstance(x, dict) else enumerate(x[:5])
    for key, inner in list(items):
        yield x, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _craft_field(holder, key, rng):
    old = holder[key]
    choices = [rng.choice(HOSTILE)] * 3
    if isinstance(old, int | float) and abs(old) < 1e300:
        choices += [old + 1, -old, old * 1e10, float(old), str(old)]
    if isinstance(old, str):
        choices += [old + "x", old[:-1], [old]]
    if isinstance(old, list):
        choices += [old + old, old[:-1], [old], old[::-1]]
    if isinstance(old, dict):
        choices += [{**old, "more": 1}, list(old)]
    nested = []
    for _ in range(200):
        nested = [nested]
    choices.append(nested)
    if rng.random() < 0.15 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = copy.deepcopy(rng.choice(choices))


def _craft_array(arrays, rng):
    name = rng.choice(sorted(arrays))
    x = arrays[name]
    number = rng.choice([np.nan, np.inf, 1e300, -1, 0, 1, 2**40, -(2**63), 2.5, 1e10])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        match rng.randrange(8):
            case 0:
                del arrays[name]
            case 1:
                arrays[name] = x[:-1]
            case 2:
                arrays[name] = np.concatenate([x, x])
            case 3:
                arrays[name] = x.reshape(1, -1)
            case 4:
                kind = rng.choice(["f4", "f8", "i8", "i4", "u1", "f2", "?"])
                arrays[name] = x.astype(kind)
            case 5:
                arrays[rng.choice(["more", "", "order", "best.parameters", "epochs.x"])] = x
            case 6:
                arrays[name] = np.full(rng.choice([0, 1, len(x)]), number).astype(x.dtype)
            case 7 if len(x):
                arrays[name] = x.copy()
                arrays[name][rng.randrange(len(x))] = np.array(number).astype(x.dtype)


@contextmanager
def no_longer_than(seconds):
    """Let nothing hang."""

    def stop(_number, _frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Trial:
    """Loads damaged files of one kind and counts what comes of it."""

    def __init__(self, load, refusal):
        self.load, self.refusal = load, refusal
        self.outcomes = Counter()
        self.faults = []

    def see(self, what, path, use):
        """Load a file; where it is not refused, say what `use` says of it."""
        try:
            with no_longer_than(10.0):
                loaded = self.load(path)
                outcome = use(loaded)
        except self.refusal as error:
            text = str(error)
            plain = text.isprintable() and len(text) < 600 and str(path) in text
            outcome = "refused" if plain else f"refused in a bad sentence: {text!r:.200}"
        except TimeoutError:
            outcome = "hung"
        except BaseException as error:  # noqa: BLE001, the trial is about these
            outcome = f"{type(error).__name__}: {error!s:.120}"
        self.outcomes[outcome if outcome in EXPECTED else "fault"] += 1
        if outcome not in EXPECTED:
            self.faults.append((what, outcome))
        return outcome
