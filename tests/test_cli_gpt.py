"""`liftgrad gpt`, on a few names; as a process where that matters."""

import json
import os
import random
import re
import signal
import subprocess
import sys

import pytest

from liftgrad.gpt import GPT, Alphabet, example, load, loss

COMMAND = [sys.executable, "-m", "liftgrad", "gpt"]
NAMES = ["anna", "bo", "cedric", "a", "dora", "bernadettealexandra", "zoë"]


@pytest.fixture
def names(tmp_path):
    path = tmp_path / "names.txt"
    path.write_text("\ufeff" + "\r\n".join(NAMES) + "\n\n  \n", encoding="utf-8")
    return path


def test_it_trains_samples_and_saves(call, tmp_path, names):
    """Reports its progress and saves the trained model; a repetition gives the same."""
    outputs = []
    for _ in range(2):
        result = call("gpt", names.name, "--steps", "150", "--samples", "5")
        assert (result.returncode, result.stderr) == (0, "")
        outputs.append(result.stdout.splitlines())
    assert outputs[0][:-1] == outputs[1][:-1]
    first, count, *steps, saved, last = outputs[0]
    alphabet = Alphabet(NAMES)
    assert first == f"Number of names: {len(NAMES)}, of tokens: {len(alphabet)}"
    assert count == f"Number of parameters: {2 * 16 * len(alphabet) + 16 * 16 + 3072}"
    reports, samples = steps[:3], steps[3:]
    pattern = r"Step (\d+) loss (\d\.\d{4})(?:, mean of (\d+) (\d\.\d{4}))?"
    matched = [re.fullmatch(pattern, line).groups() for line in reports]
    assert [(step, over) for step, _, over, _ in matched] == [
        *(("1", None), ("100", "99"), ("150", "50"))
    ]
    assert float(matched[-1][3]) < 1.5 < float(matched[0][1])
    assert len(samples) == 5
    assert all(re.fullmatch(f"  [{''.join(alphabet.characters)}]{{0,16}}", s) for s in samples)
    assert saved == "Characters and parameters saved as 'gpt.json'"
    assert re.fullmatch(
        r"\d{2},\d{3} scalar operations became \d+ tensor operations, [\d.]+ [µm]s per step", last
    )
    assert {p.name for p in tmp_path.iterdir()} == {"names.txt", "gpt.json"}

    stored = json.loads((tmp_path / "gpt.json").read_text(encoding="utf-8"))
    again = Alphabet(stored["characters"])
    model = GPT(len(again))
    model.load_state_dict(stored["parameters"])
    expected = loss(model, *example(again.encode("anna"))).data
    assert expected < 1.5
    loaded, alphabet = load(tmp_path / "gpt.json")
    assert loss(loaded, *example(alphabet.encode("anna"))).data == expected


def test_the_same_as_json(call, names):
    """One line, with the numbers of the text."""
    quick = (names.name, "--steps", "3", "--samples", "2")
    text = call("gpt", *quick)
    result = call("gpt", *quick, "--json")
    assert (result.returncode, result.stderr, result.stdout.count("\n")) == (0, "", 1)
    said = json.loads(result.stdout)
    assert (said["names"], said["steps"], said["model"]) == (len(NAMES), 3, "gpt.json")
    assert f"Step 3 loss {said['loss']:.4f}" in text.stdout
    assert "".join(f"  {name}\n" for name in said["made_up"]) in text.stdout
    assert len(said["made_up"]) == 2


def test_the_first_loss_is_that_of_the_scalar_program(call, names):
    """Of the first name in the seed's order."""
    result = call("gpt", names.name, "--steps", "1", "--seed", "7", "--samples", "0")
    random.seed(7)
    texts = list(NAMES)
    random.shuffle(texts)
    alphabet = Alphabet(texts)
    expected = loss(GPT(len(alphabet)), *example(alphabet.encode(texts[0]), 16))
    assert f"Step 1 loss {expected.data:.4f}\n" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'NAMES'"),
        (["nowhere.txt"], "'nowhere.txt' does not exist."),
        (["."], "'.' is a directory."),
        (["names.txt", "--steps", "0"], "'--steps': 0 is not in the range x>=1."),
        (["names.txt", "--seed", "x"], "'--seed': 'x' is not a valid integer"),
        (["names.txt", "--samples", "-1"], "'--samples': -1 is not in the range"),
        (["names.txt", "--temperature", "0"], "'--temperature': 0.0 is not in the range"),
        (["names.txt", "-o", "missing/gpt.json"], "there is no directory '"),
        (["names.txt", "-o", "."], "'.' is a directory; name a file in it."),
    ],
)
def test_impossible_options(call, tmp_path, names, arguments, message):
    """One sentence on standard error and status 2; nothing is written."""
    result = call("gpt", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [names]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "'names.txt' has no names; write one on each line."),
        (b" \n\n", "'names.txt' has no names; write one on each line."),
        (b"\xff\xfe\x00", "'names.txt' is not a text in UTF-8; save it in that encoding."),
        ("".join(map(chr, range(0x4E00, 0x6000))).encode(), "at most 4,095 are possible."),
    ],
)
def test_files_that_are_no_names(call, tmp_path, names, content, message):
    """Status 1 and one sentence."""
    names.write_bytes(content)
    result = call("gpt", "names.txt")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ")
    assert result.stderr.endswith(f"{message}\n")
    assert list(tmp_path.iterdir()) == [names]


@pytest.mark.process
def test_an_interrupted_run(tmp_path, names):
    """Says so in one line, with status 130, and leaves the old file as it was."""
    old = tmp_path / "gpt.json"
    old.write_text("the old one")
    with subprocess.Popen(
        [*COMMAND, names, "--steps", "10000000"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stdout:
            if line.startswith("Step 100 "):
                process.send_signal(signal.SIGINT)
                break
        for _ in process.stdout:
            pass
        assert process.wait() == 130
        assert process.stderr.read() == "Interrupted; nothing was saved.\n"
    assert old.read_text() == "the old one"


def test_help_reads_well(call):
    """Every option with its default."""
    text = call("gpt", "--help").stdout
    options = re.findall(r"^  (?:-\w, )?(--[\w-]+)", text, re.MULTILINE)
    assert options == [
        "--steps",
        "--seed",
        "--samples",
        "--temperature",
        "--output",
        "--json",
        "--help",
    ]
    assert text.count("[default:") == len(options) - 2  # --json and --help have none
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.process
def test_letters_that_the_output_lacks_cost_no_model(tmp_path, names):
    """Invented names are escaped, control characters included."""
    names.write_text("zoë\nnoël\njosé\n\x1b[31mé\n", encoding="utf-8")
    result = subprocess.run(
        [*COMMAND, names.name, "--steps", "2", "--samples", "5"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"\x1b" not in result.stdout
    assert re.search(rb"\\x(eb|e9|1b)", result.stdout)
    assert "ë" in json.loads((tmp_path / "gpt.json").read_text())["characters"]
