"""`liftgrad circles`, `spirals`, `blobs` and `digits`."""

import json
import re

import pytest
from click.testing import CliRunner

from liftgrad.cli import main
from liftgrad.cli.commands import liftgrad


def run(*arguments):
    return CliRunner().invoke(liftgrad, list(arguments), catch_exceptions=False)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("command", "accuracy"),
    [
        (["circles", "--samples", "200"], 0.97),
        (["blobs", "--centers", "3", "--noise", "0.5", "--seed", "1"], 0.97),
        (["spirals", "--arms", "2", "--noise", "0.01"], 0.95),
    ],
    ids=lambda x: x[0] if isinstance(x, list) else "",
)
def test_the_classes_are_told_apart(command, accuracy, tmp_path):
    """On samples that were not trained with; the picture is there."""
    result = run(*command, "--json", "-o", "regions.png")
    assert result.exit_code == 0
    said = json.loads(result.output)
    assert said["validation_accuracy"] >= accuracy
    assert said["picture"] == "regions.png"
    assert (tmp_path / "regions.png").stat().st_size > 5_000


def test_digits_are_told_apart():
    """Better than 9 of 10 after a few epochs."""
    pytest.importorskip("sklearn")
    result = run("digits", "--epochs", "6")
    assert result.exit_code == 0
    assert "1,797 samples of 10 classes, 449 kept apart" in result.output
    percent = float(result.output.split("Accuracy ")[1].split("%")[0])
    assert percent > 90.0


def test_one_seed_one_result():
    """Another seed gives another."""
    results = []
    for seed in ("1", "1", "2"):
        arguments = ["--samples", "40", "--epochs", "3", "--json", "--seed", seed]
        said = json.loads(run("blobs", *arguments).output)
        del said["seconds"]
        results.append(said)
    assert results[0] == results[1] != results[2]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["circles", "--noise", "-1"], "'--noise'"),
        (["spirals", "--arms", "1"], "'--arms'"),
        (["blobs", "--hidden", "0"], "not a list of layer sizes"),
        (["blobs", "-o", "nowhere/x.png"], "no directory"),
        (["blobs", "--hidden", "1000000000"], "7,000,000,004 parameters is too large"),
        (["moons", "--hidden", "9,1000000000"], "parameters is too large"),
        (["blobs", "--noise", "1%"], "'1%' is not a valid number"),
    ],
)
def test_impossible_options_are_refused(arguments, sentence, tmp_path):
    """Before any work, with status 2."""
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in result.output
    assert not list(tmp_path.iterdir())


def test_a_rate_that_is_too_large_is_one_sentence(tmp_path):
    """It names what became nan or infinite, and no picture is left."""
    result = run("blobs", "--rate", "1e308", "--epochs", "5")
    assert result.exit_code == 1
    assert result.output.startswith("Error: After 0 steps the next one made parameters nan or inf")
    assert result.output.endswith("; try a smaller --rate.\n")
    # The operation, and no line of a file that the user did not write.
    result = run("blobs", "--rate", "1e200", "--epochs", "5")
    assert result.exit_code == 1
    assert re.fullmatch(
        r"Error: After 1 step the loss became (nan|inf): .+ is -?(nan|inf); try a smaller "
        r"--rate\.\n",
        result.output,
    )
    assert ".py" not in result.output
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("moment", ["fit", "prepare"])
def test_ctrl_c_before_the_first_step(moment, press_ctrl_c, tmp_path, capsys):
    """While it compiles, it ends with status 130, and neither traceback nor picture."""
    press_ctrl_c(moment)
    with pytest.raises(SystemExit) as ended:
        main(["spirals"])
    assert ended.value.code == 130
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.endswith("Interrupted.\n")
    assert not list(tmp_path.iterdir())
