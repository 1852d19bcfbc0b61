"""`liftgrad circles`, `spirals`, `blobs` and `digits`."""

import json
import re

import pytest


@pytest.mark.parametrize(
    ("command", "accuracy"),
    [
        (["circles", "--samples", "200"], 0.97),
        (["blobs", "--centers", "3", "--noise", "0.5", "--seed", "1"], 0.97),
        (["spirals", "--arms", "2", "--noise", "0.01"], 0.95),
    ],
    ids=lambda x: x[0] if isinstance(x, list) else "",
)
def test_the_classes_are_told_apart(call, command, accuracy, tmp_path):
    """On held-out samples; the picture is there."""
    result = call(*command, "--json", "-o", "regions.png")
    assert result.returncode == 0
    said = json.loads(result.stdout)
    assert said["validation_accuracy"] >= accuracy
    assert said["picture"] == "regions.png"
    assert (tmp_path / "regions.png").stat().st_size > 5_000


def test_digits_are_told_apart(call):
    """More than 9 of 10 are right after a few epochs."""
    pytest.importorskip("sklearn")
    result = call("digits", "--epochs", "6")
    assert result.returncode == 0
    assert "1,797 samples of 10 classes, 449 held out" in result.stdout
    percent = float(result.stdout.split("Accuracy ")[1].split("%")[0])
    assert percent > 90.0


def test_one_seed_one_result(call):
    """Another seed gives another."""
    results = []
    for seed in ("1", "1", "2"):
        arguments = ["--samples", "40", "--epochs", "3", "--json", "--seed", seed]
        said = json.loads(call("blobs", *arguments).stdout)
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
def test_impossible_options_are_refused(call, arguments, sentence, tmp_path):
    """Before any work, with status 2."""
    result = call(*arguments)
    assert result.returncode == 2
    assert sentence in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_rate_that_is_too_large_is_one_sentence(call, tmp_path):
    """It names what became nan or infinite, and no picture is left."""
    result = call("blobs", "--rate", "1e308", "--epochs", "5")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: After 0 steps the next one made parameters nan or inf")
    assert result.stderr.endswith("; try a smaller --rate.\n")
    # The operation, and no line of a file that the user did not write.
    result = call("blobs", "--rate", "1e200", "--epochs", "5")
    assert result.returncode == 1
    assert re.fullmatch(
        r"Error: After 1 step the loss became (nan|inf): .+ is -?(nan|inf); try a smaller "
        r"--rate\.\n",
        result.stderr,
    )
    assert ".py" not in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("moment", ["fit", "prepare"])
def test_ctrl_c_before_the_first_step(moment, call, press_ctrl_c, tmp_path):
    """While it compiles, it ends with status 130, and neither traceback nor picture."""
    press_ctrl_c(moment)
    done = call("spirals")
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr.endswith("Interrupted.\n")
    assert not list(tmp_path.iterdir())
