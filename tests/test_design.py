"""docs/design.md: its programs, run one after another, print what it says."""

import re
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

DESIGN = Path(__file__).parents[1] / "docs" / "design.md"
STEPS = re.findall(
    r"```python\n(.*?)```\n\n```text\n(.*?)```", DESIGN.read_text(encoding="utf-8"), re.DOTALL
)


def run(steps):
    """Yield what each step says that it prints, and what it prints, without trailing spaces."""
    names = {"__name__": "design"}
    for program, said in steps:
        with redirect_stdout(StringIO()) as printed:
            exec(compile(program, str(DESIGN), "exec"), names)
        yield said.strip(), "\n".join(map(str.rstrip, printed.getvalue().strip().splitlines()))


def test_its_programs_print_what_it_says():
    """From the tensor program that is recovered to the nodes of a recording."""
    for said, printed in run(STEPS):
        assert printed == said


def test_each_of_its_programs_has_an_output():
    """No block of it goes unchecked."""
    blocks = re.findall(r"```(\w+)", DESIGN.read_text(encoding="utf-8"))
    assert blocks == ["python", "text"] * len(STEPS)
    assert len(STEPS) > 5


def test_a_wrong_output_would_be_noticed():
    """One number is another one."""
    program, said = STEPS[0]
    ((claimed, printed),) = run([(program, said.replace("18 scalar", "17 scalar"))])
    assert claimed != printed
