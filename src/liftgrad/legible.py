"""Text for outputs: without control characters, and in characters that their encoding has."""

import re
import sys

_SPELLED = {
    "→": "->", "Σ": "sum", "∂": "d", "·": "*", "×": "x", "−": "-", "≤": "<=", "≥": ">=",
    "≠": "!=", "∈": "in", "√": "sqrt", "∞": "inf", "′": "'", "…": "...", "½": "1/2", "µ": "u",
    "±": "+-", "σ": "sigma", "ε": "eps",
}  # fmt: skip
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿᵏ", "0123456789+-nk")
_SYMBOL = re.compile(r"[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿᵏ]+|[^\x00-\x7f]", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, also those that change the direction of writing."""


def visible(text: str) -> str:
    r"""Return text with control characters escaped, line breaks included.

    >>> visible("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def legible(text: str, encoding: str | None) -> str:
    r"""Return text that an encoding can write: symbols are spelled out, other letters escaped.

    Characters that the encoding has are kept.

    >>> legible("Σ_i x[i]² → é", "ascii"), legible("x⁻¹²", "cp1252"), legible("∂x → é", "utf-8")
    ('sum_i x[i]^2 -> \\xe9', 'x^-12', '∂x → é')
    """

    def spelled(match: re.Match[str]) -> str:
        found = match[0]
        if _can_write(found, encoding):
            return found
        raised = found.translate(_RAISED)
        if raised.isascii():
            return f"^{raised}"
        return _SPELLED.get(found) or found.encode("unicode_escape").decode()

    return text if _can_write(text, encoding) else _SYMBOL.sub(spelled, text)


def printable(text: str) -> str:
    """Return text that standard output can write.

    For texts that are made to be printed: `print` fails at a character that the encoding lacks.
    """
    return legible(text, getattr(sys.stdout, "encoding", None))


def _can_write(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
