"""docs/time.md: its programs, run one after another, print what it says."""

import re
from pathlib import Path

from test_design import run
from test_readme import assert_printed

TEXT = (Path(__file__).parents[1] / "docs" / "time.md").read_text(encoding="utf-8")
STEPS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)


def test_its_programs_print_what_it_says():
    """Values, gradients, and the listing of a program; "..." is what it leaves out."""
    for said, printed in run(STEPS):
        assert_printed(printed, said)


def test_each_of_its_programs_has_an_output():
    """No block of it goes unchecked."""
    assert re.findall(r"```(\w+)", TEXT) == ["python", "text"] * len(STEPS)
    assert "for t < 1000" in STEPS[0][1]
