"""Tables as matrices of numbers."""

import json
import re
import time

import numpy as np
import pytest

from liftgrad.data import Column, Table, TableEncoder, TableError, infer_task, read_table

NAN = float("nan")


def number(name, *values):
    return Column(name, "number", np.array(values, float))


def text(name, *values):
    categories = tuple(sorted({v for v in values if v is not None}))
    codes = [-1 if v is None else categories.index(v) for v in values]
    return Column(name, "category", np.array(codes, np.int32), categories)


def table(*columns, target=None):
    return Table("t.csv", columns, target)


def test_numbers_are_standardised_and_categories_take_a_column_each():
    """With the training data's mean and deviation, also in another table."""
    encoder = TableEncoder().fit(table(number("n", 1.0, 3.0), text("c", "x", "a")))
    assert encoder.feature_names == ("n", "c=a", "c=x")
    other = table(text("c", "a", "new", "x"), number("more", 0, 0, 0), number("n", 2.0, 3.0, 5.0))
    assert encoder.transform(other).tolist() == [[0, 1, 0], [1, 0, 0], [3, 0, 1]]


def test_missing_values_are_refused_unless_asked_for():
    """Then the training data's mean replaces a number, and a column marks the rows without one."""
    rows = table(number("n", 1.0, NAN, 3.0), text("c", "x", None, "a"))
    with pytest.raises(
        TableError,
        match=r"^the column 'n' of 't\.csv' has no value in 1 row; fill them, or pass "
        "missing=\"mean\"\\.\nthe column 'c' of 't\\.csv' has no value in 1 row; .*$",
    ):
        TableEncoder().fit(rows)
    encoder = TableEncoder(missing="mean").fit(rows)
    assert encoder.feature_names == ("n", "n is missing", "c=a", "c=x", "c is missing")
    assert encoder.transform(rows)[1].tolist() == [0, 1, 0, 0, 1]
    assert encoder.transform(rows)[:, 1].tolist() == [0, 1, 0]
    full = table(number("n", 1.0, 3.0), text("c", "x", "a"))
    later = TableEncoder(missing="mean").fit(full)
    assert later.transform(rows)[1].tolist() == [0, 0, 0]
    with pytest.raises(TableError, match=r"the column 'n' .* has no value in 1 row"):
        TableEncoder().fit(full).transform(rows)


def test_chunks_teach_what_the_whole_teaches():
    """Means and deviations up to rounding, also far from zero; categories of a single chunk."""
    random = np.random.default_rng(0)
    numbers = 1e6 + random.normal(size=1000)
    words = [f"w{i // 100}" for i in range(1000)]
    whole = TableEncoder().fit(table(number("n", *numbers), text("c", *words)))
    chunks = [
        table(number("n", *numbers[i : i + 7]), text("c", *words[i : i + 7]))
        for i in range(0, 1000, 7)
    ]
    parts = TableEncoder().fit(chunks)
    assert parts.feature_names == whole.feature_names
    n, p = (encoder.to_dict()["columns"][0] for encoder in (whole, parts))
    assert (n["mean"], n["std"]) == pytest.approx((numbers.mean(), numbers.std()), rel=1e-12)
    assert (p["mean"], p["std"]) == pytest.approx((n["mean"], n["std"]), rel=1e-9)


def test_a_column_with_one_value_is_left_out():
    """Nothing can be learned from it; a new value in another table must not matter."""
    encoder = TableEncoder().fit(table(number("n", 1, 1), text("c", "x", "x"), number("m", 0, 1)))
    assert encoder.feature_names == ("m",)
    assert encoder.left_out == ("n", "c")
    assert encoder.transform(table(number("n", 9), text("c", "z"), number("m", 1))).tolist() == [
        [1]
    ]


def test_an_encoder_survives_json_exactly():
    """Means and deviations to the last bit."""
    rows = table(
        *(number("n", 0.1, 0.7, NAN), text("c", "x", "a", "x"), number("k", 7, 7, 7)),
        target=text("y", "b", "a", "b"),
    )
    encoder = TableEncoder(missing="mean").fit(rows)
    learned = json.loads(json.dumps(encoder.to_dict(), allow_nan=False))
    again = TableEncoder.from_dict(learned)
    assert again.to_dict() == encoder.to_dict()
    assert again.classes == ("a", "b")
    assert again.transform(rows).tobytes() == encoder.transform(rows).tobytes()
    assert again.transform_target(rows).tolist() == [1, 0, 1]
    del learned["classes"]
    with pytest.raises(TableError, match=r"this is not what TableEncoder\.to_dict returned"):
        TableEncoder.from_dict(learned)


@pytest.mark.parametrize(
    ("column", "task"),
    [
        (text("y", "a", "b"), "classification"),
        (Column("y", "boolean", np.array([0, 1]), ("false", "true")), "classification"),
        (number("y", 0, 1, 0, 1), "classification"),
        (number("y", 0, 1, 0, 1, NAN), "classification"),
        (number("y", 0.5, 1, 0.5, 1), "regression"),
        (number("y", 0, 1, 2, 3), "regression"),
        (number("y", *range(20), *range(20)), "classification"),
        (number("y", *range(21), *range(21)), "regression"),
    ],
)
def test_the_task_follows_from_the_target(column, task):
    """Text, booleans and few different whole numbers are classes, also for the encoder."""
    assert infer_task(column) == task
    if not column.missing.any() and column.kind == "number":
        n = len(column.values)
        assert TableEncoder().fit(table(number("n", *range(n)), target=column)).task == task


def test_classes_are_numbered_in_sorted_order():
    """Whole numbers as well as text; a class that the training data did not have is refused."""
    encoder = TableEncoder().fit(table(number("n", 1, 2, 3, 4), target=number("y", 7, 3, 7, 3)))
    assert encoder.classes == (3, 7)
    assert encoder.transform_target(table(target=number("y", 3, 7))).tolist() == [0, 1]
    with pytest.raises(TableError, match=r"has the class '4\.0', which was not in the training"):
        encoder.transform_target(table(target=number("y", 3, 4)))


def test_a_quantity_stays_as_it_is():
    """In its own units, even if it looks like classes and the user declares otherwise."""
    rows = table(number("n", 1, 2, 3, 4), target=number("y", 7, 3, 7, 3))
    encoder = TableEncoder(task="regression").fit(rows)
    assert encoder.transform_target(rows).tolist() == [7.0, 3.0, 7.0, 3.0]
    assert encoder.classes == ()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            table(text("id", *(f"n{i}" for i in range(10)))),
            (
                "the column 'id' of 't.csv' is different in each row, so it names the rows and "
                "teaches nothing; pass drop=['id']."
            ),
        ),
        (
            table(text("word", *(f"w{i // 2}" for i in range(2002)))),
            (
                "the column 'word' of 't.csv' has 1,001 different values, more than 1,000; group "
                "them, or pass drop=['word']."
            ),
        ),
        (
            table(number("n", 1e308, -1e308)),
            (
                "the column 'n' of 't.csv' has numbers too large to standardise; scale them down, "
                "or pass drop=['n']."
            ),
        ),
        (table(number("n", 1, 1)), "'t.csv' has no column to learn from; add one that varies."),
        (
            table(number("n", 1, 2, 3), target=number("y", 1, NAN, NAN)),
            "the target 'y' of 't.csv' has no value in 2 rows; fill them, or remove these rows.",
        ),
        (
            table(number("n", 1, 2), target=text("y", "a", "a")),
            "the target 'y' of 't.csv' has one class only; add rows of another.",
        ),
        (
            table(number("n", 1, 2), target=text("y", "a", "b")),
            "the target 'y' of 't.csv' is different in each row; choose another target.",
        ),
    ],
)
def test_what_cannot_be_learned_from_is_refused(rows, message):
    """One sentence says where and what to do."""
    with pytest.raises(TableError) as refused:
        TableEncoder().fit(rows)
    assert str(refused.value) == message


def test_a_table_unlike_the_training_is_refused():
    """By the name of the column."""
    encoder = TableEncoder().fit(table(number("size", 1, 2)))
    with pytest.raises(TableError, match=r"t\.csv has no column 'size'; did you mean 'sizes'\?"):
        encoder.transform(table(number("sizes", 1)))
    with pytest.raises(TableError, match=r"the column 'size' .* holds text, where numbers came"):
        encoder.transform(table(text("size", "big")))
    with pytest.raises(TableError, match=r"has not learned from a table yet; call fit\(\) first"):
        TableEncoder().transform(table(number("size", 1)))


def test_another_file_is_read_as_the_training_was(tmp_path):
    """Only the columns that are needed, with the kinds that they had."""
    pytest.importorskip("pyarrow")
    rows = table(text("code", "1", "x", "1"), number("n", 1, 2, 3), target=number("y", 1, 2, 2.5))
    encoder = TableEncoder().fit(rows)
    path = tmp_path / "other.csv"
    path.write_text("when,n,code,y\n2020-01-01,2,1,9\n2020-01-02,2,2,8\n")
    other = encoder.read(path)
    assert encoder.transform(other).tolist() == [[1, 0, 0], [0, 0, 0]]
    assert encoder.transform_target(encoder.read(path, with_target=True)).tolist() == [9, 8]


def test_categories_that_the_training_had_not_are_told(tmp_path):
    """By column; missing values and numbers do not count."""
    (tmp_path / "a.csv").write_text("c,b,n\nx,true,1\ny,true,2\nx,true,3\n")
    (tmp_path / "b.csv").write_text("c,b,n\nz,true,9\ny,false,2\n,true,1\n")
    encoder = TableEncoder(missing="mean").fit(read_table(tmp_path / "a.csv"))
    assert encoder.unknown(read_table(tmp_path / "a.csv")) == {}
    assert encoder.unknown(encoder.read(tmp_path / "b.csv")) == {"c": ("z",), "b": ("false",)}


def test_a_number_that_overflows_is_refused():
    """Standardised, it would be infinite; the row is named."""
    encoder = TableEncoder().fit(Table("a.csv", (Column("x", "number", np.array([0.0, 1e-3])),)))
    table = Table("b.csv", (Column("x", "number", np.array([0.0, 1e307])),))
    with pytest.raises(
        TableError, match=r"'x' of 'b\.csv' has a number in row 2 that is too large"
    ):
        encoder.transform(table)


def test_scaling_leads_back_to_the_tables_units():
    """For numbers; columns of zeros and ones have their own."""
    numbers = Column("n", "number", np.array([10.0, 30.0, np.nan]))
    colour = Column("c", "category", np.array([0, 1, 1]), ("blue", "red"))
    table = Table("a.csv", (colour, numbers))
    encoder = TableEncoder(missing="mean").fit(table)
    assert encoder.feature_names == ("c=blue", "c=red", "n", "n is missing")
    means, stds = encoder.scaling
    assert (means.tolist(), stds.tolist()) == ([0.0, 0.0, 20.0, 0.0], [1.0, 1.0, 10.0, 1.0])
    restored = encoder.transform(table) * stds + means
    assert restored.tolist() == [[1, 0, 10, 0], [0, 1, 30, 0], [0, 1, 20, 1]]


def test_all_that_is_wrong_is_said_at_once():
    """A sentence for each column and the target, with the spelling of missing values if known."""
    masonry = Column("masonry", "category", np.array([0, -1, -1]), ("Brick",), ("None",))
    target = Column("y", "category", np.array([0, 1, -1]), ("no", "yes"), ("?", "NA"))
    with pytest.raises(TableError) as refused:
        TableEncoder().fit(table(number("n", 1, NAN, 2), masonry, target=target))
    assert refused.value.complaints == (
        "the column 'n' of 't.csv' has no value in 1 row; fill them, or pass missing=\"mean\".",
        (
            "the column 'masonry' of 't.csv' has no value in 2 rows, where 'None' stands; fill "
            'them, or pass missing="mean", or kinds={\'masonry\': "text"} if that is one.'
        ),
        (
            "the target 'y' of 't.csv' has no value in 1 row, where '?' or 'NA' stands; fill them, "
            "or remove these rows, or pass kinds={'y': \"text\"} if that is a class."
        ),
    )


def test_twenty_thousand_columns_are_encoded_in_seconds():
    """The time grows with the columns, not with their square."""
    columns = [number(f"c{i}", i, 1 - i, 2) for i in range(20_000)]
    start = time.process_time()
    assert TableEncoder().fit(table(*columns)).transform(table(*columns)).shape == (3, 20_000)
    assert time.process_time() - start < 8.0


def test_codes_that_are_too_many_may_be_numbers():
    """For numbers padded with zeros, the message names two options: numbers, or dropping them."""
    for rows in (12, 1002):
        codes = text("n", *(f"{i:05}" for i in range(rows)), *["00000"] * (rows > 12))
        advice = "pass drop=['n'], or kinds={'n': \"number\"} if these are numbers."
        with pytest.raises(TableError, match=re.escape(advice)):
            TableEncoder().fit(table(codes))


def test_all_columns_that_cannot_be_encoded_are_told():
    """Also in a table for prediction."""
    encoder = TableEncoder().fit(table(number("a", 1, 2), number("b", 1, 2), number("c", 1, 2)))
    with pytest.raises(TableError) as refused:
        encoder.transform(table(text("a", "x"), number("c", NAN)))
    assert len(refused.value.complaints) == 3
