"""`liftgrad train` and `liftgrad predict`, and the files that they read and write."""

import ast
import csv
import json
import os
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import click
import numpy as np
import pytest

from liftgrad import data
from liftgrad.cli.table_picture import picture_of
from liftgrad.cli.tables import refusals

try:
    import resource
except ImportError:  # on Windows
    resource = None
pytest.importorskip("sklearn")
pytest.importorskip("pyarrow")


def write_flowers(path, rows=90):
    """Write three classes that petals and a place determine."""
    random = np.random.default_rng(0)
    lines = ["petal,sepal,place,species"]
    for i in range(rows):
        kind = ("blue", "red", "white")[i % 3]
        petal = random.normal((1.0, 4.0, 4.0)[i % 3], 0.3)
        place = ("bank", "bank", "meadow")[i % 3]
        lines.append(f"{petal:.3f},{random.normal():.3f},{place},{kind}")
    path.write_text("\n".join(lines) + "\n")


def test_from_a_table_to_predictions(call, tmp_path):
    """A model and a picture are written, and the model predicts new rows."""
    write_flowers(tmp_path / "flowers.csv")
    done = call("train", "flowers.csv", "--target", "species", "--epochs", "80")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Task: classify 'species' into 3 classes" in done.stdout
    assert "Accuracy on 18 held-out rows: 100.0%" in done.stdout
    assert (tmp_path / "model.png").stat().st_size > 10_000

    (tmp_path / "new.csv").write_text("place,petal,sepal\nbank,1.1,0\nmeadow,4.2,0.5\nbank,3.9,1\n")
    done = call("predict", "model.safetensors", "new.csv")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["species"] for row in rows] == ["blue", "white", "red"]
    for row in rows:
        parts = [float(row[f"probability of {c}"]) for c in ("blue", "red", "white")]
        assert sum(parts) == pytest.approx(1.0)
        assert max(parts) == float(row[f"probability of {row['species']}"])
    done = call("predict", "model.safetensors", "new.csv", "--json", "-o", "p.json")
    assert done.stdout == "3 predictions saved as 'p.json'\n"
    assert [r["species"] for r in json.loads((tmp_path / "p.json").read_text())] == [
        "blue",
        "white",
        "red",
    ]


@pytest.mark.process
@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_terminal_shows_how_it_goes(tmp_path):
    """Loss and epochs while it trains; elsewhere there are only lines."""
    import pty  # noqa: PLC0415, not everywhere

    write_flowers(tmp_path / "flowers.csv")
    main, end = pty.openpty()
    command = [sys.executable, "-m", "liftgrad", "train", "flowers.csv", "--target", "species"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    with subprocess.Popen(
        [*command, "--epochs", "40"], cwd=tmp_path, stdout=end, env=environment
    ) as process:
        os.close(end)
        shown = b""
        while True:
            try:
                chunk = os.read(main, 65536)
            except OSError:  # how Linux says that it was closed
                break
            if not chunk:
                break
            shown += chunk
        assert process.wait() == 0
    os.close(main)
    assert "Epoch" in shown.decode()
    assert "/40" in shown.decode()
    assert "samples/s" in shown.decode()
    assert "Accuracy on 18 held-out rows" in shown.decode()


def test_a_quantity_is_predicted_in_its_own_units(call, tmp_path):
    """Prices in the hundred thousands are learned as well as numbers around 0."""
    random = np.random.default_rng(0)
    area = random.uniform(50, 200, 80)
    price = 2000 * area + random.normal(0, 5000, 80)
    lines = [f"{a:.1f},{p:.0f}" for a, p in zip(area, price, strict=True)]
    (tmp_path / "houses.csv").write_text("\n".join(["area,price", *lines]) + "\n")
    done = call("train", "houses.csv", "--target", "price", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    assert (said["task"], said["features"], said["rows"]) == ("regression", ["area"], 80)
    assert said["validation_r2"] > 0.95
    assert said["validation_rmse"] < 0.25 * said["mean_rmse"]
    assert (tmp_path / "model.png").is_file()
    done = call("predict", "model.safetensors", "houses.csv")
    predicted = np.array([float(row["price"]) for row in csv.DictReader(done.stdout.splitlines())])
    assert np.sqrt(np.mean((predicted - price) ** 2)) < 10_000


def test_one_seed_one_model(call, tmp_path):
    """The file is the same to the byte."""
    write_flowers(tmp_path / "flowers.csv", 30)
    for name in ("a", "b"):
        arguments = ["--target", "species", "--epochs", "5", "-o", name, "--picture", "p.png"]
        assert call("train", "flowers.csv", *arguments).returncode == 0
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_broken_row_is_refused_or_left_out(call, tmp_path):
    """The line is named, with the option that helps; nothing is written."""
    write_flowers(tmp_path / "flowers.csv", 30)
    with (tmp_path / "flowers.csv").open("a") as file:
        file.write("1,2,bank,red,5\n")
    done = call("train", "flowers.csv", "--target", "species", "--epochs", "5")
    assert done.returncode == 1
    assert done.stderr == (
        "Error: line 32 of 'flowers.csv' has 5 fields where the header has 4; correct it, or pass "
        "--skip-bad-rows.\n"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["flowers.csv"]
    arguments = ["--target", "species", "--epochs", "5", "--skip-bad-rows"]
    done = call("train", "flowers.csv", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Rows: 30, 1 malformed left out" in done.stdout


def test_what_cannot_be_used_is_said_in_one_sentence(call, tmp_path):
    """Without a traceback, and with the status of a failure."""
    write_flowers(tmp_path / "flowers.csv", 30)
    (tmp_path / "gaps.csv").write_text("a,b\n1,x\n,y\n3,x\n4,y\n5,x\n6,y\n")
    (tmp_path / "two.csv").write_text("a,b\n1,x\n2,y\n3,x\n")
    (tmp_path / "three.csv").write_text("a,b\n1,1.5\n2,2.5\n3,3.7\n")
    (tmp_path / "large.csv").write_text("a,b\n" + "".join(f"{i}e299,{i}\n" for i in range(1, 30)))
    (tmp_path / "few.csv").write_text("a,b\n1,x\n2,y\n3,x\n4,y\n")
    cases = {
        ("train", "flowers.csv", "--target", "specis"): "did you mean 'species'?",
        ("train", "flowers.csv", "--target", "species", "--task", "regression"): "not a number",
        ("train", "gaps.csv", "--target", "b"): "--missing mean",
        ("train", "few.csv", "--target", "b"): "too few to hold out 20% of them; add rows, or p",
        ("train", "two.csv", "--target", "b"): "too few to hold out 20% of them; add rows.",
        ("train", "three.csv", "--target", "b", "--validation", "0.9"): "of them; add rows.",
        ("train", "large.csv", "--target", "a"): "The target's numbers are too large; scale them",
        ("train", "flowers.csv", "--target", "sepal", "--rate", "1e200"): "step the loss became",
        ("predict", "flowers.csv", "flowers.csv"): "not a safetensors file",
    }
    for arguments, sentence in cases.items():
        done = call(*arguments)
        assert (done.returncode, done.stdout) == (1, ""), arguments
        assert done.stderr.startswith("Error: ")
        assert done.stderr.count("\n") == 1
        assert sentence in done.stderr
    done = call("train", "flowers.csv")
    assert done.returncode == 2
    assert done.stderr == "Error: Missing option '--target'; see 'liftgrad train --help'.\n"
    done = call("predict", "two.csv", "two.csv", "three.csv")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: Got unexpected extra argument (three.csv); see 'liftgrad predict --help'.\n"
    )
    assert call("train", "missing.csv", "--target", "a").returncode == 2


def test_what_the_training_had_not_is_noted(call, tmp_path):
    """A prediction is made, and standard error names what is ignored."""
    write_flowers(tmp_path / "flowers.csv", 30)
    call("train", "flowers.csv", "--target", "species", "--epochs", "2")
    (tmp_path / "new.csv").write_text("petal,sepal,place\n1,2,bank\n1,2,roof\n1,2,hill\n")
    done = call("predict", "model.safetensors", "new.csv", "--json")
    assert done.returncode == 0
    assert len(json.loads(done.stdout)) == 3
    assert done.stderr == (
        "Column 'place' has categories that the training data did not have, 'hill', 'roof'; they "
        "are ignored.\n"
    )


def test_infinite_predictions_are_refused(call, tmp_path):
    """JSON has no infinity."""
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{i},{i * 1.5e9}\n" for i in range(30)))
    arguments = ["--target", "b", "--epochs", "20", "-o", "model"]
    assert call("train", "t.csv", *arguments).returncode == 0
    (tmp_path / "new.csv").write_text("a\n1\n1.7e308\n-1.7e308\n")
    done = call("predict", "model", "new.csv", "--json", "-o", "p.json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "is infinite; correct the row." in done.stderr
    assert not (tmp_path / "p.json").exists()


def test_a_class_of_which_no_row_can_be_held_out_is_named(call, tmp_path):
    """The accuracy says nothing about it."""
    write_flowers(tmp_path / "flowers.csv", 30)
    with (tmp_path / "flowers.csv").open("a") as file:
        file.write("1,2,bank,gold\n")
    arguments = ["train", "flowers.csv", "--target", "species", "--epochs", "2"]
    done = call(*arguments)
    assert "Not evaluated, having too few rows to hold one out: gold\n" in done.stdout
    done = call(*arguments, "--json")
    assert json.loads(done.stdout)["unjudged_classes"] == ["gold"]


def test_classes_that_are_asked_for_bring_no_warning(call, tmp_path):
    """Standard error stays empty even if scikit-learn doubts that they are classes."""
    text = "".join(f"{k * 0.5},{k}\n" for k in [*range(20), *range(10)])
    (tmp_path / "t.csv").write_text("a,b\n" + text)
    arguments = ["--target", "b", "--task", "classification", "--l2", "0.1"]
    done = call("train", "t.csv", *arguments, "--validation", "0.5", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["task"] == "classification"


@pytest.mark.process
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a full device")
def test_output_that_cannot_be_printed_is_one_sentence(tmp_path):
    """The model is saved nevertheless."""
    write_flowers(tmp_path / "flowers.csv", 30)
    command = [sys.executable, "-m", "liftgrad", "train", "flowers.csv", "--target", "species"]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*command, "--epochs", "2"],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == (
        "Error: the output cannot be printed (No space left on device); print it elsewhere.\n"
    )
    assert (tmp_path / "model.safetensors").is_file()


def test_the_picture_of_two_columns_is_in_their_units(tmp_path):
    """Points and boundary have the table's coordinates; long names are cut, $ starts no formula."""
    from liftgrad.estimators import LiftClassifier  # noqa: PLC0415, scikit-learn may be missing

    random = np.random.default_rng(0)
    income, age = random.uniform(20_000, 90_000, 80), random.uniform(20, 70, 80)
    lines = [
        f"{i:.0f},{a:.0f},{'$50 and more' if i > 55_000 else '_none'}"
        for i, a in zip(income, age, strict=True)
    ]
    header = "income in $ before taxes and without allowances,age,plan"
    (tmp_path / "t.csv").write_text("\n".join([header, *lines]))
    table = data.read_table(tmp_path / "t.csv", "plan")
    encoder = data.TableEncoder().fit(table)
    X, y = encoder.transform(table), encoder.transform_target(table)
    estimator = LiftClassifier((8,), learning_rate_init=0.05, tol=0.01, random_state=0).fit(X, y)
    (ax,) = picture_of(estimator, encoder, X, y, "accuracy").axes
    points = np.concatenate([np.asarray(c.get_offsets()) for c in ax.collections[-2:]])
    assert np.sort(points[:, 0]) == pytest.approx(np.sort(np.round(income)))
    assert np.sort(points[:, 1]) == pytest.approx(np.sort(np.round(age)))
    boundary = np.concatenate([path.vertices for path in ax.collections[0].get_paths()])
    assert boundary[:, 0] == pytest.approx(55_000, abs=5_000)
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"income in \$ be…ut allowances", "age")
    assert [t.get_text() for t in ax.get_legend().get_texts()] == [r"\$50 and more", "_none"]


def test_letters_that_the_pictures_font_lacks_are_one_sentence(call, tmp_path):
    """Not a warning with a line of code for each letter, which would disturb readers of JSON."""
    write_flowers(tmp_path / "flowers.csv", 30)
    text = (tmp_path / "flowers.csv").read_text().replace("blue", "青い花").replace("red", "赤い花")
    (tmp_path / "flowers.csv").write_text(text, encoding="utf-8")
    arguments = ["--target", "species", "--epochs", "2", "--json"]
    done = call("train", "flowers.csv", *arguments)
    assert done.returncode == 0
    assert json.loads(done.stdout)["classes"] == ["white", "赤い花", "青い花"]
    assert done.stderr.startswith("The picture's font lacks letters")
    assert done.stderr.count("\n") == 1


@contextmanager
def files_of_4_kilobytes():
    """Limit the size of files that are written in the block."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("train flowers.csv --target species --epochs 2", "model.safetensors"),
        ("train flowers.csv --target species --epochs 2 --hidden 1", "model.png"),
        ("blobs --epochs 1", "decision_regions.png"),
        ("moons --steps 1", "decision_boundary.png"),
    ],
)
@pytest.mark.skipif(resource is None, reason="needs limits of a process")
def test_a_full_disk_leaves_what_was_there(call, tmp_path, line, file):
    """One sentence names the file; neither half of the new one nor a temporary file remains."""
    write_flowers(tmp_path / "flowers.csv", 30)
    (tmp_path / file).write_text("the old one")
    with files_of_4_kilobytes():
        done = call(*line.split())
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: '{file}' cannot be written (File too large); choose another place.\n"
    )
    assert (tmp_path / file).read_text() == "the old one"
    assert not list(tmp_path.glob(".*"))


def test_a_column_that_counts_the_rows_is_noted(call, tmp_path):
    """In a table that is sorted by its classes, a network would learn nothing else."""
    rows = "".join(f"{i},{i % 7},{i * i},{'first' if i < 20 else 'last'}\n" for i in range(1, 41))
    (tmp_path / "t.csv").write_text("row number,a,b,y\n" + rows)
    arguments = ["--target", "y", "--epochs", "2"]
    done = call("train", "t.csv", *arguments, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["features"] == ["row number", "a", "b"]
    assert done.stderr == (
        "Column 'row number' counts the rows; if it means nothing else, leave it out with --drop "
        "'row number'.\n"
    )
    done = call("train", "t.csv", *arguments, "--drop", "row number")
    assert (done.returncode, done.stderr) == (0, "")


def test_advice_is_what_the_command_line_can_do(call, tmp_path):
    """Nothing is said of Python's arguments."""
    write_flowers(tmp_path / "flowers.csv", 30)
    arguments = ["--target", "species", "--epochs", "2", "-o", "model"]
    assert call("train", "flowers.csv", *arguments).returncode == 0
    day = "turn them into numbers, such as days since a date, or"
    columns = {
        "price": ('"1,200"', '"3,400"', "decimal point only, or pass {drop}, or {categorical}."),
        "age": ("{i}", "old", "leave the field empty, or pass {categorical}."),
        "id": ("9007199254740993", "1", "pass {drop}, or {categorical}, or {numeric} if"),
        "a day": ("2020-01-31", "2020-02-01", f"{day} pass {{drop}}."),
        "gap": ("1", "", "has no value in 3 rows; fill them, or pass --missing mean."),
        "word": ("None", "x", "fill them, or pass --missing mean, or {text} if that is one."),
        "none": ("", "", "has no values at all; pass {drop}."),
    }
    rows = [",".join([*columns, "name", "y"])]
    for i in range(12):
        values = [second if i in (3, 5, 7) else first for first, second, _ in columns.values()]
        rows.append(",".join([*values, f"n{i}", "ab"[i % 2]]).format(i=i))
    (tmp_path / "t.csv").write_text("\n".join(rows))
    done = call("train", "t.csv", "--target", "y")
    assert (done.returncode, done.stdout) == (1, "")
    said = {line.split("'")[1]: line for line in done.stderr.splitlines()}
    assert said.keys() == {*columns, "name"}
    assert said["name"].endswith("it names the rows and teaches nothing; pass --drop name.")
    for name, (_, _, end) in columns.items():
        quoted = f"'{name}'" if " " in name else name
        options = {k: f"--{k} {quoted}" for k in ("drop", "categorical", "numeric", "text")}
        assert end.format(**options) in said[name]
    rows = {
        "1,2,bank": "fill them, or train with --missing mean.\n",
        "x,2,bank": "which is not a number; correct it, or train with --categorical petal.\n",
    }
    for row, end in rows.items():
        (tmp_path / "t.csv").write_text(f"petal,sepal,place\n{row}\n,0,bank\n")
        done = call("predict", "model", "t.csv")
        assert done.returncode == 1
        assert done.stderr.endswith(end)


def test_a_table_cut_by_semicolons_is_read(call, tmp_path):
    """By `train` and by `predict`, without an option."""
    write_flowers(tmp_path / "flowers.csv", 30)
    text = (tmp_path / "flowers.csv").read_text().replace(",", ";")
    (tmp_path / "flowers.csv").write_text(text)
    arguments = ["--target", "species", "--epochs", "2"]
    done = call("train", "flowers.csv", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 inputs: petal, sepal, place=bank, place=meadow" in done.stdout
    done = call("predict", "model.safetensors", "flowers.csv")
    assert (done.returncode, done.stdout.count("\n")) == (0, 31)


def test_nothing_is_written_over_what_is_read(call, tmp_path):
    """A typing error does not cost a table or a model; the message names both."""
    write_flowers(tmp_path / "flowers.csv", 30)
    (tmp_path / "model").write_text("a model")
    (tmp_path / "link").symlink_to("flowers.csv")
    (tmp_path / "hard").hardlink_to(tmp_path / "flowers.csv")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    train = ("train", "flowers.csv", "--target", "species")
    cases = {
        (*train, "-o", "flowers.csv"): "TABLE and --output are the same file, 'flowers.csv'",
        (*train, "-o", "link"): "TABLE and --output are the same file, 'link'",
        (*train, "-o", "hard"): "TABLE and --output are the same file, 'hard'",
        (*train, "-o", "a.png", "--picture", "./a.png"): "--output and --picture are the same",
        ("predict", "model", "flowers.csv", "-o", "flowers.csv"): "TABLE and --output",
        ("predict", "model", "flowers.csv", "-o", "model"): "MODEL and --output",
        ("gpt", "flowers.csv", "-o", "flowers.csv"): "NAMES and --output",
    }
    for arguments, sentence in cases.items():
        done = call(*arguments)
        assert (done.returncode, done.stdout) == (2, ""), arguments
        assert sentence in done.stderr
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_ctrl_c_ends_the_training_and_keeps_the_model(call, press_ctrl_c, tmp_path):
    """With the status of an interruption; the picture is there, too."""
    random = np.random.default_rng(0)
    X = random.normal(size=(60_000, 8))
    classes = np.where(np.sin(3.0 * X[:, 0]) + X[:, 1] > 0.0, "up", "down")
    lines = [
        ",".join([*(f"{x:.3f}" for x in row), label]) for row, label in zip(X, classes, strict=True)
    ]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,d,e,f,g,h,y", *lines]) + "\n")
    press_ctrl_c("rest", 0.2)  # when steps are taken
    arguments = ["--target", "y", "--hidden", "256", "--epochs", "100000", "--rate", "0.0003"]
    done = call("train", "t.csv", *arguments, "--l2", "1", "-o", "model")
    assert done.returncode == 130
    assert done.stderr.startswith("Interrupted after step")
    assert "Model saved as" in done.stdout
    assert (tmp_path / "model.png").is_file()
    done = call("predict", "model", "t.csv", "-o", "p.csv")
    assert (done.returncode, done.stdout) == (0, "60,000 predictions saved as 'p.csv'\n")


@pytest.mark.parametrize(
    ("text", "training", "predicting"),
    [
        ("pass drop=['a b'].", "pass --drop 'a b'.", "train with --drop 'a b'."),
        (
            """or kinds={"it's": "text"}.""",
            """or --text 'it'"'"'s'.""",
            """or --text 'it'"'"'s'.""",
        ),
        ("pass kinds={'z': \"number\"}.", "pass --numeric z.", "train with --numeric z."),
        ('pass missing="mean".', "pass --missing mean.", "train with --missing mean."),
        ('pass on_bad_rows="skip".', "pass --skip-bad-rows.", "pass --skip-bad-rows."),
        ("pass delimiter=';'.", "pass --delimiter ';'.", "pass --delimiter ';'."),
        (r"pass delimiter='\t'.", "pass --delimiter tab.", "pass --delimiter tab."),
        ('pass task="regression".', "pass --task regression.", "pass --task regression."),
        ("pass drop=[''].", "pass --drop ''.", "train with --drop ''."),
    ],
)
def test_options_take_the_place_of_arguments(text, training, predicting):
    """`predict` says so where only training can help."""
    for is_training, said in ((True, training), (False, predicting)):
        with pytest.raises(click.ClickException) as refused, refusals(training=is_training):
            raise data.TableError(text)
        assert refused.value.message == said


def texts_of(module):
    """Return the strings of a module, with "text" for what is filled in."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            parts = [
                part.value
                if isinstance(part, ast.Constant)
                else {ord("r"): "'text'"}.get(part.conversion, "text")
                for part in node.values
            ]
            yield "".join(parts)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_errors_advise_what_the_command_line_has():
    """Where the data modules advise a Python argument, an option replaces it."""
    arguments = r"\b(drop|kinds|missing|task|on_bad_rows|delimiter)="
    modules = Path(data.__file__).parent.glob("*.py")
    texts = [text for module in modules for text in texts_of(module) if re.search(arguments, text)]
    assert len(texts) >= 12
    for text in texts:
        if "\n" not in text and not re.search(r"=[{\['\"]*$", text):  # no docstrings, nor halves
            with pytest.raises(click.ClickException) as refused, refusals(training=True):
                raise data.TableError(text)
            assert not re.search(arguments, refused.value.message), text
