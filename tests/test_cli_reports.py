"""What `liftgrad train` and `predict` read and report, called as functions."""

import csv
import importlib.abc
import io
import json
import os
import signal
import sys
import threading

import numpy as np
import pytest

from liftgrad import data
from liftgrad.cli.display import terminal
from liftgrad.cli.fitting import PENALTIES, Fitting
from liftgrad.cli.judgement import judged_classes, judged_numbers, lines_of_classes, warning_of
from liftgrad.cli.table_reading import identifiers

metrics = pytest.importorskip("sklearn.metrics")
pytest.importorskip("pyarrow")


def write_blobs(path, labels, rows=60, name="y", header="a,b"):
    """Write clouds of points far from each other, one for each label."""
    random = np.random.default_rng(0)
    lines = [f"{header},{name}"]
    for i in range(rows):
        x = random.normal(size=2) * 0.3 + 4.0 * (i % len(labels))
        lines.append(f"{x[0]:.3f},{x[1]:.3f},{labels[i % len(labels)]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.mark.parametrize(
    "labels",
    [
        ["01", "1", "2"],
        ["1.0", "2.0"],
        ["+1", "-1"],
        ["True", "False"],
        ["1e0", "2e0", "3e0"],
        ["1", "2", "10"],
        ["007", "010"],
        ["TRUE", "FALSE"],
        ["12345678901234567890", "02345678901234567890"],
    ],
)
def test_predictions_spell_classes_as_the_table_does(call, tmp_path, labels):
    """Codes, numbers and booleans, in CSV and in JSON; no two become one."""
    write_blobs(tmp_path / "t.csv", labels)
    train = ("train", "t.csv", "--target", "y", "--epochs", "60", "--l2", "1", "--json")
    status, out, err = call(*train)
    assert (status, err) == (0, "")
    assert json.loads(out)["validation_accuracy"] == 1.0
    assert [str(label) for label in json.loads(out)["classes"]] == sorted(
        labels, key=lambda x: (float(x), x) if labels == ["1", "2", "10"] else x
    )
    _, out, _ = call("predict", "model.safetensors", "t.csv")
    said = [row["y"] for row in csv.DictReader(io.StringIO(out))]
    assert said == (labels * 60)[:60]
    _, out, _ = call("predict", "model.safetensors", "t.csv", "--json")
    assert [str(row["y"]) for row in json.loads(out)] == said


def test_one_class_in_two_spellings_is_asked_about(call, tmp_path):
    """It may be a mistake or two classes: the option decides."""
    write_blobs(tmp_path / "t.csv", ["1", "1.0", "2"])
    train = ("train", "t.csv", "--target", "y", "--epochs", "60", "--l2", "1", "--json")
    status, _, err = call(*train)
    assert status == 1
    assert err == (
        "Error: the target 'y' of 't.csv' has the class '1', which is also written '1.0'; spell it "
        "one way, or pass --categorical y if they are two.\n"
    )
    status, out, _ = call(*train, "--categorical", "y")
    assert (status, json.loads(out)["classes"]) == (0, ["1", "1.0", "2"])


def test_classes_that_differ_in_capitals_or_spaces_are_noted(call, tmp_path):
    """They are different classes, with a note that they might be one."""
    write_blobs(tmp_path / "t.csv", ["yes", "Yes", "no", "yes "])
    status, out, err = call("train", "t.csv", "--target", "y", "--l2", "1", "--json")
    assert (status, len(json.loads(out)["classes"])) == (0, 4)
    assert err == (
        "Classes 'Yes' and 'yes' and 'yes ' differ only in capitals or spaces; if they are one, "
        "spell them alike.\n"
    )


def test_probabilities_have_other_names_than_the_target(call, tmp_path):
    """Otherwise they would replace it."""
    write_blobs(tmp_path / "t.csv", ["no", "yes"], name="probability of yes")
    train = ("train", "t.csv", "--target", "probability of yes", "--epochs", "60", "--l2", "1")
    assert call(*train)[0] == 0
    for option in ((), ("--json",)):
        _, out, _ = call("predict", "model.safetensors", "t.csv", *option)
        rows = json.loads(out) if option else list(csv.DictReader(io.StringIO(out)))
        assert {row["probability of yes"] for row in rows} == {"no", "yes"}
        assert len(rows[0]) == 3
        assert float(rows[1]["predicted probability of yes"]) > 0.5


def test_columns_are_what_they_are_said_to_be(call, tmp_path):
    """Codes are categories, padded numbers numbers, None a word; no column is two of these."""
    rows = [f"{i % 3},{i:03},{('None', 'Brick', 'Stone')[i % 3]},{'ab'[i % 2]}" for i in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["code,padded,masonry,y", *rows]))
    train = ("train", "t.csv", "--target", "y", "--epochs", "2", "--l2", "1", "--json")
    kinds = ("--categorical", "code", "--numeric", "padded", "--text", "masonry")
    status, out, _ = call(*train, *kinds)
    assert status == 0
    assert json.loads(out)["features"] == [
        *("code=0", "code=1", "code=2", "padded"),
        *("masonry=Brick", "masonry=None", "masonry=Stone"),
    ]
    status, out, _ = call("predict", "model.safetensors", "t.csv", "--json")
    assert (status, len(json.loads(out))) == (0, 40)
    status, out, err = call(*train, "--numeric", "padded", "--missing", "mean")
    assert "masonry is missing" in json.loads(out)["features"]
    assert (
        "Column 'masonry': 'None' counts as missing; if it is a value, pass --text masonry.\n"
        in err
    )
    status, _, err = call(*train, *kinds, "--text", "code")
    assert (status, err) == (
        2,
        (
            "Error: Column 'code' has two kinds; choose one of --categorical, --numeric and "
            "--text.\n"
        ),
    )


@pytest.mark.parametrize(
    ("between", "option"), [("|", "|"), ("\t", "tab"), ("\t", r"\t"), (":", ":"), ("|", None)]
)
def test_the_delimiter_can_be_said(call, tmp_path, between, option):
    """To both commands, tab by its name."""
    write_blobs(tmp_path / "t.csv", ["x", "y"])
    text = (tmp_path / "t.csv").read_text().replace(",", between)
    (tmp_path / "t.csv").write_text(text)
    options = ("--delimiter", option) if option else ()
    status, out, _ = call(
        *("train", "t.csv", "--target", "y", "--epochs", "9", "--l2", "1", "--json"), *options
    )
    assert (status, json.loads(out)["features"]) == (0, ["a", "b"])
    status, out, _ = call("predict", "model.safetensors", "t.csv", *options)
    assert (status, out.count("\n")) == (0, 61)
    status, _, err = call("train", "t.csv", "--target", "y", "--delimiter", "::")
    assert (status, "'::' is neither one character, such as ';', nor 'tab'." in err) == (2, True)


@pytest.mark.parametrize("kind", ["csv", "parquet", "gz"])
def test_a_table_may_come_from_standard_input(call, tmp_path, monkeypatch, kind):
    """In any format; errors call it standard input, and it is read like a file."""
    import gzip  # noqa: PLC0415

    import pyarrow.csv  # noqa: PLC0415
    import pyarrow.parquet  # noqa: PLC0415

    write_blobs(tmp_path / "t.csv", ["x", "y"])
    content = (tmp_path / "t.csv").read_bytes()
    if kind == "parquet":
        pyarrow.parquet.write_table(pyarrow.csv.read_csv("t.csv"), "t.parquet")
        content = (tmp_path / "t.parquet").read_bytes()
    elif kind == "gz":
        content = gzip.compress(content)

    def give(content):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))

    give(content)
    status, out, _ = call("train", "-", "--target", "y", "--epochs", "9", "--l2", "1", "--json")
    assert (status, json.loads(out)["rows"]) == (0, 60)
    give(content)
    status, out, _ = call("predict", "model.safetensors", "-")
    assert (status, out.count("\n")) == (0, 61)
    give(b"a,y\n2020-01-01,1\n")
    status, _, err = call("train", "-", "--target", "y")
    assert (status, err.startswith("Error: the column 'a' of standard input holds dates")) == (1, 1)
    give(b"")
    assert call("train", "-", "--target", "y")[2] == (
        "Error: standard input is empty; it needs a line of column names and rows.\n"
    )


def test_a_table_may_be_a_pipe(call, tmp_path):
    """Such as a shell's <(...), which can be read once; errors name it."""
    write_blobs(tmp_path / "t.csv", ["x", "y"])
    pipe, table = tmp_path / "pipe", (tmp_path / "t.csv").read_bytes()
    for content, said in ((table, ""), (b"a,y\n", "Error: 'pipe' has no rows; add some.\n")):
        os.mkfifo(pipe)
        writer = threading.Thread(target=pipe.write_bytes, args=[content])
        writer.start()
        status, _, err = call("train", "pipe", "--target", "y", "--epochs", "2", "--l2", "1")
        writer.join()
        assert (status, err) == (int(bool(said)), said)
        pipe.unlink()


def test_standard_input_may_be_closed(call, monkeypatch):
    """By a shell's <&-, which leaves none at all."""
    monkeypatch.setattr(sys, "stdin", None)
    status, _, err = call("train", "-", "--target", "y")
    assert (status, err) == (
        2,
        "Error: standard input is closed; pipe a table into it, or name a file.\n",
    )


def test_ctrl_c_while_scikit_learn_is_loaded_is_no_missing_library(call, tmp_path, monkeypatch):
    """A half-imported library may seem missing; Ctrl-C waits until it is whole."""
    write_blobs(tmp_path / "t.csv", ["x", "y"])

    class Interrupted(importlib.abc.MetaPathFinder):
        def find_spec(self, name, _path, _target=None):
            if name == "liftgrad.estimators":
                sys.meta_path.remove(self)
                try:
                    signal.raise_signal(signal.SIGINT)
                except KeyboardInterrupt:
                    raise ImportError from None
            # others look for it

    for name in [name for name in sys.modules if name.startswith("liftgrad.estimators")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr("liftgrad.estimators")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    status, _, err = call("train", "t.csv", "--target", "y", "--l2", "1")
    assert (status, err.strip()) == (130, "Interrupted.")


def test_predictions_may_go_to_standard_output_by_name(call, tmp_path):
    """As `-`, and not to a file of that name."""
    write_blobs(tmp_path / "t.csv", ["x", "y"])
    call("train", "t.csv", "--target", "y", "--epochs", "2", "--l2", "1")
    plain = call("predict", "model.safetensors", "t.csv")
    assert call("predict", "model.safetensors", "t.csv", "-o", "-") == plain
    assert not (tmp_path / "-").exists()


def test_weights_of_classes_are_for_classes(call, tmp_path):
    """For quantities they would be ignored."""
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{i},{i * 1.5}\n" for i in range(30)))
    status, _, err = call("train", "t.csv", "--target", "b", "--class-weight", "balanced")
    assert status == 2
    assert err == (
        "Error: --class-weight is for classes, and 'b' is a quantity; leave it out, or pass "
        "--task classification.\n"
    )


def test_hexadecimal_codes_stay_what_they_are(call, tmp_path):
    """As classes and as a column; Arrow reads numbers there, of 64 bits negative ones."""
    labels = ["0x01", "0x02", "0x0A"]
    write_blobs(tmp_path / "t.csv", labels)
    lines = (tmp_path / "t.csv").read_text().splitlines()
    codes = ["code", *["0xFFFFFFFFFFFFFFFF", "0x1"] * 30]
    both = [f"{code},{line}" for code, line in zip(codes, lines, strict=True)]
    (tmp_path / "t.csv").write_text("\n".join(both) + "\n")
    status, out, err = call("train", "t.csv", "--target", "y", "--epochs", "30", "--json")
    assert (status, err) == (0, "")
    assert json.loads(out)["classes"] == sorted(labels)
    assert "code=0xFFFFFFFFFFFFFFFF" in json.loads(out)["features"]
    status, out, err = call("predict", "model.safetensors", "t.csv")
    assert (status, err) == (0, "")
    assert {row["y"] for row in csv.DictReader(out.splitlines())} == set(labels)
    write_blobs(tmp_path / "mixed.csv", ["0x0A", "10", "3"])
    status, _, err = call("train", "mixed.csv", "--target", "y")
    assert (status, "holds numbers, but '0x0A' in row 1" in err) == (1, True)


def write_rare(path, rows=3000):
    """Write a class of 1 in 80 rows, which three of ten columns determine."""
    random = np.random.default_rng(0)
    y = random.random(rows) < 0.0125
    X = random.normal(size=(rows, 10))
    X[y, :3] += 1.7
    lines = [
        ",".join([*(f"{x:.4f}" for x in row), "yes" if label else "no"])
        for row, label in zip(X, y, strict=True)
    ]
    path.write_text("\n".join([",".join([*"abcdefghij", "y"]), *lines]) + "\n")


def test_a_rare_class_is_found(call, tmp_path):
    """The penalty is one of those that are tried; scikit-learn's own network has AUC 0.95 there."""
    write_rare(tmp_path / "t.csv")
    train = ("train", "t.csv", "--target", "y", "--json")
    status, out, err = call(*train)
    assert (status, err) == (0, "")
    said = json.loads(out)
    assert said["l2"] in PENALTIES
    assert said["auc"] > 0.97
    matrix = np.array(said["confusion_matrix"])
    assert matrix.sum() == said["validation_rows"]
    assert matrix[1, 1] >= 2
    assert said["validation_accuracy"] > said["most_frequent_class_accuracy"]
    status, out, _ = call(*train, "--class-weight", "balanced")
    balanced = json.loads(out)
    assert np.array(balanced["confusion_matrix"])[1, 1] > matrix[1, 1]


def test_a_network_that_always_says_one_thing_is_told_of(call, tmp_path):
    """With what may help, unless that has been done."""
    write_rare(tmp_path / "t.csv", 1000)
    train = ("train", "t.csv", "--target", "y", "--epochs", "30", "--l2", "1e4")
    _, out, err = call(*train)
    assert "Accuracy on 200 held-out rows: 98.5% (always the most frequent class: 98.5%" in out
    assert err == (
        "On the held-out rows the network is no better than always predicting 'no', which is right "
        "for 98.5%; pass --class-weight balanced to give each class the same weight, or give it "
        "more informative columns, or more rows.\n"
    )
    _, out, err = call(*train, "--class-weight", "balanced", "--json")
    assert err == (
        "On the held-out rows the network is no better than chance; give it more informative "
        "columns, or more rows.\n"
    )
    assert json.loads(out)["warning"] == err.strip()
    random = np.random.default_rng(0)
    rows = "".join(f"{a:.3f},{b:.3f}\n" for a, b in random.normal(size=(60, 2)))
    (tmp_path / "noise.csv").write_text("a,b\n" + rows)
    _, _, err = call("train", "noise.csv", "--target", "b", "--l2", "0", "--epochs", "200")
    assert err == (
        "On the held-out rows the network is no better than always predicting the mean; give it "
        "more informative columns, or more rows.\n"
    )


def test_classes_that_a_network_never_predicts_are_named():
    """Even if it is better than a constant; but not classes of very few rows."""

    def warning(*counts, balanced=False):
        y = np.repeat(np.arange(len(counts)), counts)
        probabilities = np.eye(len(counts))[np.where(y < 2, y, 0)]
        said = judged_classes(y, probabilities)
        said["most_frequent_class_accuracy"] = counts[0] / sum(counts)
        return warning_of(said, [*"abcdefgh"], "a", balanced=balanced)

    assert warning(50, 20, 4, 2) == (
        "The network calls none of the held-out rows 'c' (which 4 are); pass --class-weight "
        "balanced to give each class the same weight."
    )
    assert "'c' (which 4 are), 'd' (which 5 are), 'e' (which 6 are) and 2 more" in warning(
        *(90, 20, 4, 5, 6, 7, 8)
    )
    assert warning(8, 8, 8) == (
        "The network calls none of the held-out rows 'c' (which 8 are); give it more informative "
        "columns, or more rows."
    )
    assert warning(50, 20, 2) is None
    assert warning(50, 20, 4, balanced=True) is None


def test_figures_are_scikit_learns():
    """AUC with ties, F1 and the confusion matrix, also of classes that do not occur."""
    random = np.random.default_rng(0)
    y = random.integers(0, 4, 200)
    probabilities = random.random((200, 5)).round(1) + np.eye(5)[y] * 0.3
    said = judged_classes(y, probabilities)
    predicted = probabilities.argmax(axis=1)
    labels = list(range(5))
    assert (
        said["confusion_matrix"] == metrics.confusion_matrix(y, predicted, labels=labels).tolist()
    )
    assert said["f1_of_classes"] == pytest.approx(
        metrics.f1_score(y, predicted, labels=labels, average=None, zero_division=0)
    )
    assert said["f1"] == pytest.approx(np.mean(said["f1_of_classes"]))
    aucs = [metrics.roc_auc_score(y == i, probabilities[:, i]) for i in range(4)]
    assert said["auc"] == pytest.approx(np.mean(aucs))
    assert said["validation_accuracy"] == pytest.approx(np.mean(y == predicted))
    alone = judged_classes(np.zeros(3, np.int64), np.array([[0.9, 0.1]] * 3))
    assert (alone["auc"], alone["f1"], alone["f1_of_classes"]) == (None, 1.0, [1.0, None])
    assert json.loads(json.dumps(said)) == said


def test_errors_of_numbers_are_in_their_unit():
    """Next to R², which is scikit-learn's."""
    random = np.random.default_rng(0)
    y, predicted = random.normal(size=(2, 50))
    said = judged_numbers(y, y + 0.1 * predicted, 20.0)
    assert said["validation_r2"] == pytest.approx(metrics.r2_score(y, y + 0.1 * predicted))
    assert said["validation_rmse"] == pytest.approx(2.0 * np.sqrt(np.mean(predicted**2)))
    assert said["mean_rmse"] == pytest.approx(20.0 * np.sqrt(np.mean(y**2)))
    assert said["warning"] is None
    alike = judged_numbers(np.ones(3), np.zeros(3), 1.0)
    assert alike["validation_r2"] == 0.0
    assert "no better than always predicting the mean" in alike["warning"]


def test_the_report_shows_what_is_confused():
    """As a table, or in a line if that would be too wide."""
    matrix = [[9, 1, 0], [0, 1200, 3], [0, 0, 0]]
    said = {
        "auc": 0.5,
        "f1": 0.25,
        "f1_of_classes": [0.947, 0.998, 0.0],
        "confusion_matrix": matrix,
    }
    assert lines_of_classes(said, ["a", "a class with a long name", "花"]) == [
        "AUC 0.500, F1 0.250 (means of the classes)",
        "  true              a  a class …ng name  花  F1 (columns: predicted)",
        "  a                 9                 1   0  0.947",
        "  a class …ng name  0             1,200   3  0.998",
        "  花                0                 0   0  0.000",
    ]
    many = np.diag(np.full(40, 5))
    many[3, 7] = 2
    said |= {"f1_of_classes": [1.0] * 40, "confusion_matrix": many.tolist()}
    lines = lines_of_classes(said, [f"c{i}" for i in range(40)])
    assert lines[1:] == ["Most frequent errors: c3 for c7 (2 of 7)"]
    lines = lines_of_classes(said, [f"a class with the number {i}" for i in range(40)])
    assert lines[1:] == ["Most frequent errors: a class …umber 3 for a class …umber 7 (2 of 7)"]


def test_a_regression_is_drawn_as_predicted_against_true(call, tmp_path, monkeypatch):
    """In the target's own units, for the held-out rows."""
    drawn = []
    module = sys.modules["liftgrad.cli.train"]  # the package has the command of this name
    monkeypatch.setattr(module, "save_picture", lambda draw, _path: drawn.append(draw()))
    prices = {f"{a:.4f}": round(5000 * a, 1) for a in np.random.default_rng(0).uniform(0, 9, 80)}
    (tmp_path / "t.csv").write_text("a,price\n" + "".join(f"{a},{p}\n" for a, p in prices.items()))
    assert call("train", "t.csv", "--target", "price", "--l2", "0.3")[0] == 0
    (figure,) = drawn
    (ax,) = figure.axes
    (points,) = ax.collections
    true, predicted = np.asarray(points.get_offsets()).T
    assert len(true) == 16
    assert np.abs(predicted - true).max() < 3000.0
    assert set(true.tolist()) < set(prices.values())
    assert ax.get_xlabel() == "true price"


def column(name, values, kind="number"):
    if kind == "number":
        return data.Column(name, kind, np.array(values, float))
    categories, places = np.unique(values, return_inverse=True)
    return data.Column(name, "category", places, tuple(categories.tolist()))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (column("n", range(30)), "counts the rows"),
        (column("n", range(30, 0, -1)), "counts the rows"),
        (column("n", np.random.default_rng(0).permutation(30)), "numbers the rows"),
        (column("PassengerId", np.arange(30) ** 2), "is different in each row, as identifiers are"),
        (column("user_id", np.arange(30) ** 2), "is different in each row, as identifiers are"),
        (column("Unnamed: 0", np.arange(30) ** 2), "is different in each row, as identifiers are"),
        (column("area", np.arange(30) ** 2), ""),
        (column("paid", np.arange(30) ** 2), ""),
        (column("id", np.arange(30) // 2), ""),
        (column("id", np.arange(30) / 7), ""),
        (column("name", [f"n{i * 2 // 3}" for i in range(30)], "text"), "has 20 different values"),
        (column("city", [f"n{i // 3}" for i in range(30)], "text"), ""),
        (column("few", ["x", "y", "z"], "text"), ""),
    ],
)
def test_columns_that_name_the_rows_are_noted(found, said):
    """By their numbers, their names, or how many of their values differ."""
    sentences = identifiers(data.Table("t.csv", (found,)))
    assert len(sentences) == bool(said)
    for sentence in sentences:
        assert said in sentence
        assert "leave it out with --drop" in sentence


def test_what_a_terminal_obeys_does_not_reach_it(call, tmp_path):
    """In names of columns, classes and files; the written files have all of it."""
    red = "\x1b[31m"
    write_blobs(tmp_path / f"{red}.csv", [f"{red}x", "y"], header=f"{red}a,\x9b2Jb")
    train = ("train", f"{red}.csv", "--target", "y", "--epochs", "9", "--l2", "1")
    status, out, err = call(*train)
    assert status == 0
    assert r"\x1b[31ma, \x9b2Jb" in out
    assert not {*"\x1b\x9b\x07"} & {*out, *err}
    status, out, err = call(*train, "--drop", "none")
    assert (status, r"\x1b[31ma" in err, "\x1b" in err) == (1, True, False)
    _, out, _ = call("predict", "model.safetensors", f"{red}.csv", "--json")
    assert json.loads(out)[0]["y"] == f"{red}x"
    _, out, _ = call("predict", "model.safetensors", f"{red}.csv")
    assert f"{red}x" in out  # it is no terminal, where the file goes


def test_letters_and_signs_are_legible_in_any_encoding(monkeypatch):
    """Characters that change the direction of writing are escaped."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), "ascii"))
    assert terminal("R² of José: 3 µs\u202e\u2028") == r"R^2 of Jos\xe9: 3 us\u202e\u2028"
    assert terminal("\ud800a\tb\nc") == r"\ud800a\tb\nc"


def test_predictions_for_a_pipe_are_utf8_whatever_the_terminal_is(call, tmp_path, monkeypatch):
    """As in a file, from which they can be read again."""
    write_blobs(tmp_path / "t.csv", ["été", "冬"])
    assert call("train", "t.csv", "--target", "y", "--epochs", "60", "--l2", "1")[0] == 0
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii"))
    call("predict", "model.safetensors", "t.csv")
    sys.stdout.flush()
    rows = list(csv.DictReader(io.StringIO(raw.getvalue().decode())))
    assert [row["y"] for row in rows[:2]] == ["été", "冬"]


@pytest.mark.filterwarnings("ignore:.*has not converged")
def test_the_penalty_follows_the_noise():
    """Clear classes need little of it, noisy ones much; a fold without a class is no obstacle."""
    random = np.random.default_rng(0)
    X = random.normal(size=(200, 5))
    fitting = Fitting("classification", (16,), 100, 0.01, 0, None)
    clear = (X[:, 0] > 0.0).astype(int)
    noisy = np.where(random.random(200) < 0.35, 1 - clear, clear)
    assert fitting.chosen_penalty(X, clear) < 3.0 <= fitting.chosen_penalty(X, noisy)
    assert fitting.chosen_penalty(X[:4], np.array([0, 1, 2, 3])) in PENALTIES
    assert fitting.chosen_penalty(X[:2], np.array([0, 1])) == 1.0


def test_predictions_are_printed_where_only_text_can_be(call, tmp_path, monkeypatch):
    """As for a caller who replaces standard output by a StringIO."""
    write_blobs(tmp_path / "t.csv", ["x", "y"])
    assert call("train", "t.csv", "--target", "y", "--epochs", "60", "--l2", "1")[0] == 0
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    call("predict", "model.safetensors", "t.csv")
    assert sys.stdout.getvalue().startswith("y,probability of x,probability of y\nx,")


def test_complaints_that_are_alike_do_not_hide_others(call, tmp_path):
    """Of 300 columns with gaps a few are named, and still the column of dates."""
    lines = [",".join([*(f"c{i}" for i in range(300)), "day", "y"])]
    for j in range(1, 21):
        numbers = ["" if (i + j) % 9 == 0 else f"{i * j}" for i in range(300)]
        lines.append(",".join([*numbers, f"2020-1-{j}", "ab"[j % 2]]))
    (tmp_path / "t.csv").write_text("\n".join(lines))
    status, _, err = call("train", "t.csv", "--target", "y")
    first, *gaps, last = err.splitlines()
    assert (status, len(gaps)) == (1, 5)
    assert "column 'day'" in first
    assert all(line.endswith("fill them, or pass --missing mean.") for line in gaps)
    assert last == "Error: there are 295 more faults like these."
