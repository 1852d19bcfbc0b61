"""The programs of examples/tour, as processes: that they end well, and what they print is so."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TOUR = Path(__file__).parents[1] / "examples" / "tour"


def run(name, *arguments, folder, search=()):
    """Return what a program does in an empty folder, with more folders to import from."""
    paths = [*search, os.environ.get("PYTHONPATH", "")]
    return subprocess.run(
        [sys.executable, "-W", "error", TOUR / f"{name}.py", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([p for p in map(str, paths) if p])},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def said(name, folder, *arguments, complaint=""):
    """Return what a program prints, after checking that it ends well and leaves nothing behind."""
    result = run(name, *arguments, folder=folder)
    assert (result.returncode, result.stderr) == (0, complaint)
    if not arguments:
        assert not list(folder.iterdir())
    return result.stdout


def numbers(pattern, text):
    """Return the numbers that a pattern finds, as a tuple for each place."""
    found = [
        tuple(map(float, match.groups())) for match in re.finditer(pattern, text, re.MULTILINE)
    ]
    assert found, f"{pattern} is not in:\n{text}"
    return found


def test_the_readme_names_every_program_in_order():
    """And each is numbered and says what it prints."""
    programs = sorted(path.name for path in TOUR.glob("*.py"))
    assert [name[:3] for name in programs] == [f"{i:02}_" for i in range(1, len(programs) + 1)]
    text = (TOUR / "README.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| \[`(\w+\.py)`\]\((\w+\.py)\)", text, re.MULTILINE)
    assert listed == [(name, name) for name in programs]
    for name in programs:
        assert re.search("Prints|prints", (TOUR / name).read_text(encoding="utf-8").split('"""')[1])


@pytest.mark.process
def test_01_finds_the_derivatives(tmp_path):
    """Those of tanh(x·y) + x², worked out here."""
    text = said("01_value", tmp_path)
    slope = 1.0 - math.tanh(-1.0) ** 2
    dx, dy = -0.5 * slope + 4.0, 2.0 * slope
    assert numbers(r"^z = ([\d.]+)", text) == [(pytest.approx(math.tanh(-1.0) + 4.0, abs=1e-6),)]
    both = numbers(r"dz/dx = ([\d.]+), dz/dy = ([\d.]+)", text)
    assert both == [(pytest.approx(dx, abs=1e-6), pytest.approx(dy, abs=1e-6))] * 2
    assert numbers(r"adds ([\d.]+) to the gradient of x", text) == [(3.5,)]
    assert numbers(r"to x = ([\d.]+)", text) == [(3.0,)]


@pytest.mark.process
def test_02_and_03_print_the_same_losses(tmp_path):
    """Eager and lifted, to ten digits; they fall, and nearly all points are right in the end."""
    eager, lifted = said("02_moons", tmp_path), said("03_moons_lifted", tmp_path)
    steps = numbers(r"^step +(\d+) loss ([\d.]+)", eager)
    assert [step for step, _ in steps] == [0, 5, 10, 15, 20]
    assert sorted(steps, key=lambda pair: -pair[1]) == steps
    np.testing.assert_allclose(numbers(r"^step +(\d+) loss ([\d.]+)", lifted), steps, atol=2e-10)
    assert numbers(r"(\d+) of 100 points right", eager)[-1][0] >= 90
    assert "22,489 scalar operations" in lifted
    assert "h2[s,i] = relu(" in lifted
    assert "∂model.layers.0.w[i,j] +=" in lifted
    assert numbers(r"^([\d.]+) µs a step", lifted)[0][0] < 1000.0


@pytest.mark.process
def test_04_losses_and_optimisers_do_what_they_are_known_for(tmp_path):
    """The mean square's line is that of least squares; all optimisers come near the least loss."""
    text = said("04_optimisers", tmp_path)
    rows = {
        name: (float(loss), float(slope), float(intercept))
        for name, loss, slope, intercept in re.findall(
            r"^(.*?) +loss (\S+), line (\S+)x \+ (\S+)$", text, re.MULTILINE
        )
    }
    assert len(rows) == 11
    x = np.linspace(0.0, 10.0, 50)
    least = np.polyfit(x, 2.0 * x + 1.0 + 20.0 * (np.arange(50) % 11 == 0), 1)
    np.testing.assert_allclose(rows["mean square"][1:], least, atol=0.03)
    np.testing.assert_allclose(rows["absolute"][1:], (2.0, 1.0), atol=0.02)
    for name in list(rows)[2:9]:
        assert 1.94 < rows[name][0] < 2.0, name
    assert max(rows["SGD, momentum"][0], rows["SGD, two groups"][0]) < rows["SGD"][0]
    assert rows["Adam, one cycle"][0] < rows["Adam"][0]
    assert rows["too high a rate"][0] > 1e9
    assert rows["the same, clipped"][0] == pytest.approx(rows["mean square"][0], rel=0.02)


@pytest.mark.process
def test_05_a_convolution_sees_bars(tmp_path):
    """Trained, and with weights that were loaded in PyTorch's shapes."""
    text = said("05_layers", tmp_path)
    shapes = re.findall(r"^(\d\.\w+) +(\(.*\))$", text, re.MULTILINE)
    assert shapes == [
        *[("0.weight", "(2, 1, 3, 3)"), ("0.bias", "(2,)")],
        *[("4.weight", "(2, 2)"), ("4.bias", "(2,)")],
    ]
    right = dict(re.findall(r"^(\w[\w ]*?) +([\d.]+)%$", text, re.MULTILINE))
    assert float(right["untrained"]) < 75.0
    assert float(right["trained"]) > 90.0
    assert right["by hand"] == "99.8" != right["trained"]  # 499 of 500, whatever was learned


@pytest.mark.process
def test_06_stops_early_and_puts_the_best_epoch_back(tmp_path):
    """After 15 epochs that were no better; the CSV file in the folder named has a row for each."""
    text = said("06_fit", tmp_path, str(tmp_path))
    ((count, best),) = numbers(r"^stopped after (\d+) epochs; the best was (\d+)", text)
    assert best == count - 15
    ((then, now, right),) = numbers(
        r"^validation then ([\d.]+), now ([\d.]+); accuracy ([\d.]+)%", text
    )
    assert then == now
    assert right > 85.0
    assert [n for (n,) in numbers(r"^epoch (\d+) loss", text)] == list(
        range(10, int(count) + 1, 10)
    )
    assert [path.name for path in tmp_path.iterdir()] == ["history.csv"]
    rows = (tmp_path / "history.csv").read_text().splitlines()
    assert numbers(r"^(\d+) lines of CSV", text) == [(count + 1,)] == [(len(rows),)]
    assert rows[0] == "epoch,step,loss,validation_loss,accuracy,lr,seconds"
    assert text.splitlines()[-2:] == [rows[0], rows[-1]]
    table = np.loadtxt(rows[1:], delimiter=",")
    assert table[:, 3].argmin() + 1 == best
    assert then == pytest.approx(table[:, 3].min(), abs=1e-6)
    assert then < table[-1, 3] - 1e-5  # else it would not show that anything was put back


@pytest.mark.process
def test_06_without_a_folder_leaves_no_file(tmp_path):
    """The history goes to a temporary one."""
    assert "lines of CSV" in said("06_fit", tmp_path)


@pytest.mark.process
def test_07_goes_on_to_the_bit(tmp_path):
    """From a checkpoint that an interruption left."""
    sentence = "Interrupted after step 195; the model is as it was then.\n"
    lines = said("07_resume", tmp_path, complaint=sentence).splitlines()
    assert lines[0].startswith("195 steps, 15 epochs")
    assert lines[0].endswith(", interrupted")
    assert lines[1].startswith("520 steps, 40 epochs")
    assert not lines[1].endswith(", interrupted")
    assert lines[2:] == ["the same parameters: True", "the same losses: True"]


@pytest.mark.process
def test_08_learns_from_a_table_with_words_and_gaps(tmp_path):
    """And answers in the table's words."""
    pytest.importorskip("pyarrow")
    text = said("08_table", tmp_path)
    assert "columns: km, km is missing, weather=rain, weather=sun\n" in text
    assert "no distance, sun: [0.0, 1.0, 0.0, 1.0]\n" in text
    assert numbers(r"^right: ([\d.]+)% of 400 rows", text)[0][0] > 97.0
    assert text.endswith("new rows: foot, bike, bus, home\n")


@pytest.mark.process
def test_09_trains_from_files_as_from_memory(tmp_path):
    """The rows are mapped, the losses the same, and the error little more than the noise."""
    pytest.importorskip("pyarrow")
    text = said("09_larger_than_memory", tmp_path)
    assert text.startswith("X is a memmap of shape (20000, 2) in float32\n")
    assert 0.1 < numbers(r"^off by ([\d.]+) after 939 steps", text)[0][0] < 0.13
    assert text.endswith("in memory the same losses: True\n")


@pytest.mark.process
def test_10_searches_with_scikit_learn(tmp_path):
    """And tells new wines apart."""
    pytest.importorskip("sklearn")
    text = said("10_scikit_learn", tmp_path)
    assert "'liftclassifier__hidden_layer_sizes': (" in text
    assert numbers(r"^cross-validation ([\d.]+)%", text)[0][0] > 90.0
    assert numbers(r"^new wines ([\d.]+)%", text)[0][0] > 90.0


@pytest.mark.process
def test_11_draws_five_pictures(tmp_path):
    """Four of them PNG files, and a GIF with a frame for each ten epochs."""
    names = said("11_pictures", tmp_path, str(tmp_path)).split()
    assert sorted(names) == sorted(path.name for path in tmp_path.iterdir())
    assert names == ["regions.png", "curves.png", "confusion.png", "landscape.png", "learning.gif"]
    for name in names:
        with Image.open(tmp_path / name) as picture:
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 10
            assert getattr(picture, "n_frames", 1) == (8 if name == "learning.gif" else 1)


@pytest.mark.parametrize("arguments", [(), ("nowhere",)])
@pytest.mark.process
def test_11_asks_for_a_folder(tmp_path, arguments):
    """In one sentence."""
    result = run("11_pictures", *arguments, folder=tmp_path)
    assert result.returncode == 1
    assert result.stderr == "name a folder for the pictures: python 11_pictures.py FOLDER\n"


@pytest.mark.parametrize(
    ("name", "module", "extra"),
    [
        ("08_table", "pyarrow", "data"),
        ("09_larger_than_memory", "pyarrow", "data"),
        ("10_scikit_learn", "sklearn", "sklearn"),
    ],
)
@pytest.mark.process
def test_a_program_without_its_extra_says_what_to_install(tmp_path, name, module, extra):
    """In one sentence."""
    (tmp_path / f"{module}.py").write_text("raise ModuleNotFoundError")
    result = run(name, folder=tmp_path, search=[tmp_path])
    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(rf"[^\n]* pip install 'liftgrad\[{extra}\]'\.?\n", result.stderr)
