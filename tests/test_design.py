"""docs/design.md: its programs, run one after another, print what it says."""

import inspect
import linecache
import os
import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from liftgrad.lift.pipeline import compiled

DESIGN = Path(__file__).parents[1] / "docs" / "design.md"
TEXT = DESIGN.read_text(encoding="utf-8")
STEPS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", TEXT, re.DOTALL)


def run(steps):
    """Yield what each step says that it prints, and what it prints, without trailing spaces."""
    names = {"__name__": "design"}
    for number, (program, said) in enumerate(steps):
        file = f"<design {number}>"  # whose text is known, as that of a notebook's cell
        linecache.cache[file] = len(program), None, program.splitlines(keepends=True), file
        with redirect_stdout(StringIO()) as printed:
            exec(compile(program, file, "exec"), names)
        yield said.strip(), "\n".join(map(str.rstrip, printed.getvalue().strip().splitlines()))


def test_its_programs_print_what_it_says():
    """With LIFTGRAD_UPDATE=1 in the environment what it says is written anew."""
    text = TEXT
    for said, printed in run(STEPS):
        if os.environ.get("LIFTGRAD_UPDATE"):
            text = text.replace(f"```text\n{said}\n```", f"```text\n{printed}\n```", 1)
        else:
            assert printed == said
    if text != TEXT:
        DESIGN.write_text(text, encoding="utf-8")


def test_the_road_is_quoted_as_it_is():
    """The lines of `compiled` that make the program."""
    (road,) = re.findall(
        r"with a line for each part of it:\n\n(.*?)\n\nA \*\*call", TEXT, re.DOTALL
    )
    for quoted in road.split("\n\n"):
        assert quoted in inspect.getsource(compiled)


def test_each_of_its_programs_has_an_output():
    """No block of it goes unchecked."""
    blocks = re.findall(r"```(\w+)", TEXT)
    assert blocks == ["python", "text"] * len(STEPS)
    assert len(STEPS) > 5


def test_a_wrong_output_would_be_noticed():
    """One number is another one."""
    program, said = STEPS[0]
    ((claimed, printed),) = run([(program, said.replace("18 scalar", "17 scalar"))])
    assert claimed != printed
