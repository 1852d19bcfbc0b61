"""The README: its programs run and print what it says, and its commands are those that CI runs."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PROGRAMS = [
    (code, following if kind == "text" else "")
    for (language, code), (kind, following) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True)
    if language == "python"
]
OUTPUTS = [code for language, code in BLOCKS if language == "text"]
OF_MOONS = next(said for said in OUTPUTS if "Number of parameters: 625" in said)
OF_GPT = next(said for said in OUTPUTS if "Number of names" in said)


def printed_by(folder, *arguments):
    """What Python prints when run so, with each warning an error."""
    result = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=folder,
        capture_output=True,
        check=False,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def assert_printed(printed, said):
    """Assert that this was printed: "..." stands for anything, and so do times of a step.

    Spaces and line ends are alike, and long decimals may differ by what rounding comes to.
    """
    said, printed = " ".join(said.split()), " ".join(printed.split())
    pattern = re.escape(re.sub(r"[\d.]+ µs", "... µs", said)).replace(r"\.\.\.", ".*?")
    pattern = re.sub(r"\d+\\\.\d{5,}", r"(\\d+\\.\\d{5,})", pattern)
    found = re.fullmatch(pattern, printed)
    assert found, f"the README says\n{said}\nand printed is\n{printed}"
    expected = [float(number) for number in re.findall(r"\d+\.\d{5,}", said)]
    assert [float(number) for number in found.groups()] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("program", "said"), PROGRAMS)
@pytest.mark.process
def test_its_programs_print_what_it_says(program, said, tmp_path):
    """As they stand, without a word of complaint."""
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    assert_printed(printed_by(tmp_path, "program.py"), said)


@pytest.mark.process
def test_its_command_prints_what_it_says(tmp_path):
    """`liftgrad moons`: the losses and the size of the program."""
    assert_printed(printed_by(tmp_path, "-m", "liftgrad", "moons"), OF_MOONS)


@pytest.mark.skipif("LIFTGRAD_NAMES" not in os.environ, reason="needs the path of names.txt")
def test_its_transformer_prints_what_it_says(tmp_path):
    """`liftgrad gpt names.txt`: microgpt's losses and names."""
    names = os.environ["LIFTGRAD_NAMES"]
    assert_printed(printed_by(tmp_path, "-m", "liftgrad", "gpt", names), OF_GPT)


def test_every_output_it_shows_is_checked():
    """Each belongs to a program before it, or to one of the two commands."""
    of_programs = [said for _, said in PROGRAMS if said]
    assert sorted([*of_programs, OF_MOONS, OF_GPT]) == sorted(OUTPUTS)


def test_a_wrong_output_would_be_noticed():
    """Another number, another word, a line too many; but not another rounding or time."""
    said = "a 0.1234568 ... c 7 µs"
    assert_printed("a 0.1234567 b\n c 3.5 µs", said)
    for wrong in ("a 0.2234567 b c 7 µs", "a 0.1234567 c 7 µs d", "x 0.1234567 b c 7 µs"):
        with pytest.raises(AssertionError):
            assert_printed(wrong, said)


@pytest.mark.process
def test_its_programs_are_typed(tmp_path):
    """mypy --strict accepts them, and knows what lifted functions take and return."""
    pytest.importorskip("mypy")
    more = [TYPED, *[program for program, _ in PROGRAMS]]
    files = [tmp_path / f"program{i}.py" for i in range(len(more))]
    for file, program in zip(files, more, strict=True):
        file.write_text(program, encoding="utf-8")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", *map(str, files)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.findall(r"program(\d+)\.py:(\d+): (?:error: )?(.*)", checked.stdout)
    wrong = [TYPED.splitlines()[int(line) - 1] for number, line, _ in found if number == "0"]
    assert [line for line in TYPED.splitlines() if "wrong" in line] == wrong, checked.stdout
    assert len(found) == len(wrong), checked.stdout


TYPED = """
from liftgrad import Value, functional, grad, lift, nn

@lift
def f(x: Value, n: int = 2) -> Value:
    return x**n

@lift(dtype="float32")
def two(xs: list[Value]) -> tuple[Value, float]:
    return functional.total(xs), functional.mean([1.0, 2.0])

class Model(nn.Module):
    @lift
    def loss(self, x: float) -> Value:
        return functional.mean([p * x for p in self.parameters()])

result: Value = f(Value(3.0), n=3)
f("three")  # wrong
wrong: str = f(Value(3.0))
pair: tuple[Value, float] = two([Value(1.0)])
loss: Value = Model().loss(2.0)
Model().loss("wrong")
slope: float = grad(lambda x: x**2)(3.0)
squashed: Value = functional.tanh(result)
number: float = functional.exp(1.0)
wrong_number: float = functional.exp(result)
"""


def test_its_files_are_there():
    """Links and pictures point to files in the repository, the table to modules."""
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert link.startswith("https://") or (ROOT / link).is_file(), link
    modules = re.findall(r"`([\w/]+(?:\.py|/))`", README)
    assert len(modules) > 10
    for name in modules:
        assert (ROOT / "src" / "liftgrad" / name).exists() or (ROOT / name).exists(), name


def test_its_two_commands_make_their_own_environment():
    """And need only Python; CI finds them by these patterns."""
    commands = re.findall(r"^python3 -m venv .*$", README, re.MULTILINE)
    assert commands[0].endswith("/liftgrad moons")
    assert commands[1].endswith("/python -m pytest -q")
