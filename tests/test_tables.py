"""Tables from CSV and Parquet files."""

import decimal
import gzip
import sys

import numpy as np
import pytest

from liftgrad.data import TableError, TableStream, read_table

arrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file into the current folder and return its name."""
    monkeypatch.chdir(tmp_path)

    def written(content, name="t.csv"):
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / name).write_bytes(data)
        return name

    return written


def test_columns_are_what_they_hold(write):
    """Numbers, booleans and text; the target is separate; missing values are nan or -1."""
    table = read_table(write("n,b,c,y\n1,true,red,0.5\n,False,,1.5\n-2.5,,blue,?\n"), "y")
    n, b, c = table.columns
    assert (table.names, len(table)) == (("n", "b", "c"), 3)
    assert [x.kind for x in table.columns] == ["number", "boolean", "category"]
    assert n.values.tolist()[::2] == [1.0, -2.5]
    assert n.missing.tolist() == [False, True, False]
    assert (b.values.tolist(), b.categories) == ([1, 0, -1], ("false", "true"))
    assert (c.values.tolist(), c.categories) == ([1, -1, 0], ("blue", "red"))
    assert table.target.values.tolist()[:2] == [0.5, 1.5]
    assert np.isnan(table.target.values[2])


def test_parquet_and_csv_files_read_alike(write, tmp_path):
    """Also a column that is a dictionary in Arrow, and a compressed CSV file."""
    text = "n,c,b\n1,x,true\n2.25,y,false\n,x,true\n"
    rows = {"n": [1.0, 2.25, None], "c": ["x", "y", "x"], "b": [True, False, True]}
    whole = arrow.table(rows)
    coded = whole.set_column(1, "c", whole["c"].dictionary_encode())
    parquet.write_table(coded, tmp_path / "t.parquet", row_group_size=2)
    tables = [
        read_table(write(text)),
        read_table(write(gzip.compress(text.encode()), "t.csv.gz")),
        read_table(write(text.replace(",", "\t"), "t.tsv")),
        read_table(write(text.replace(",", ";")), delimiter=";"),
        read_table("t.parquet"),
    ]
    for table in tables[1:]:
        for column, other in zip(tables[0].columns, table.columns, strict=True):
            assert (column.name, column.kind) == (other.name, other.kind)
            assert column.categories == other.categories
            np.testing.assert_array_equal(column.values, other.values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "'t.csv' is empty; it needs a line of column names and rows."),
        ("\n\n", "'t.csv' is empty; it needs a line of column names and rows."),
        ("a,y\n", "'t.csv' has no rows; add some."),
        (
            "a,y\n1,2\n1,2,3\n",
            (
                "line 3 of 't.csv' has 3 fields where the header has 2; correct it, or pass "
                'on_bad_rows="skip".'
            ),
        ),
        (
            'a,y\n1,"two\nlines"\n\n1\n',
            (
                "line 5 of 't.csv' has 1 field where the header has 2; correct it, or pass "
                'on_bad_rows="skip".'
            ),
        ),
        (
            "a,a,y\n1,2,3\n",
            "'t.csv' has 2 columns named 'a'; rename or remove all but one, or pass drop=['a'].",
        ),
        (
            ",a,y\n1,2,3\n",
            "column 1 of 't.csv' has no name; name it, or pass drop=[''].",
        ),
        (b"a,y\ncaf\xe9,1\n", "'t.csv' is not text in UTF-8; save it in that encoding."),
        (b"caf\xe9,y\n1,1\n", "'t.csv' is not text in UTF-8; save it in that encoding."),
        ("a,y\n1,2\n".encode("utf-16"), "'t.csv' is not text in UTF-8; save it in that encoding."),
        ("size,Y\n1,2\n", "'t.csv' has no column 'y'; did you mean 'Y'?"),
        ("size,colour\n1,2\n", "'t.csv' has no column 'y'; choose one of 'size', 'colour'."),
        (
            "a,y\n2020-01-31,1\n",
            (
                "the column 'a' of 't.csv' holds dates or times (date32[day]); turn them into "
                "numbers, such as days since a date, or pass drop=['a']."
            ),
        ),
        ("a,y\n,1\n", "the column 'a' of 't.csv' has no values at all; pass drop=['a']."),
        (
            "a,y\n9007199254740993,1\n",
            (
                "the column 'a' of 't.csv' holds whole numbers beyond 2^53, which float64 cannot "
                "tell apart; pass drop=['a'], or kinds={'a': \"category\"}, or kinds={'a': "
                '"number"} if their last digits do not matter.'
            ),
        ),
        (
            "a,y\n1,2\n2,2\noops,2\n",
            (
                "the column 'a' of 't.csv' holds numbers, but 'oops' in row 3; correct it, leave "
                "the field empty, or pass kinds={'a': \"category\"}."
            ),
        ),
        (
            'a,y\n"1,234",2\n"2,500.5",2\n900,2\nunknown,2\n',
            (
                "the column 'a' of 't.csv' holds numbers that are written like '1,234' in row 1; "
                "write them with digits and a decimal point only, or pass drop=['a'], or "
                "kinds={'a': \"category\"}."
            ),
        ),
        (
            "a,y\n1/31/2020,1\n2/1/2020 10:30,2\n",
            (
                "the column 'a' of 't.csv' holds dates, such as '1/31/2020' in row 1; turn them "
                "into numbers, such as days since a date, or pass drop=['a']."
            ),
        ),
        (
            "a,y\n1,2\ninf,2\n",
            "the column 'a' of 't.csv' is infinite in row 2; correct it, or leave the field empty.",
        ),
    ],
)
def test_a_broken_csv_file_is_refused(write, content, message):
    """One sentence says where and what to do."""
    with pytest.raises(TableError) as refused:
        read_table(write(content), "y")
    assert str(refused.value) == message


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("a;y\n1.5;x\n2.5;z\n", "t.csv"),
        ("a\ty\n1.5\tx\n2.5\tz\n", "t.csv"),
        ("\ufeff\n\na;y\r\n1.5;x\r\n2.5;z\r\n", "t.csv"),
        ("a,y\n1.5,x\n2.5,z\n", "t.tsv"),
        ('"a";"y"\n1.5;x\n2.5;z\n', "t.csv"),
        ("a|y\n1.5|x\n2.5|z\n", "t.csv"),
    ],
)
def test_the_delimiter_is_found(write, text, name):
    """Spreadsheets in half of Europe write semicolons."""
    table = read_table(write(text, name), "y")
    assert table.column("a").values.tolist() == [1.5, 2.5]
    assert table.target.categories == ("x", "z")


def test_a_delimiter_that_is_given_or_usual_comes_first(write):
    """Names may then contain other delimiters; if it never occurs, the error suggests another."""
    assert read_table(write("a;b,y\n1,2\n")).names == ("a;b", "y")
    assert read_table(write("a;b\ty\n1\t2\n", "t.tsv")).names == ("a;b", "y")
    with pytest.raises(
        TableError,
        match=r"'t\.csv' has one column, 'a;y', and seems to be delimited by semicolons",
    ):
        read_table(write("a;y\n1;2\n"), delimiter=",")


@pytest.mark.parametrize(
    "texts",
    [
        ("$1,200", "$950"),
        ("12%", "7.5 %"),
        ("3,5", "10,25"),
        ("1.234,50", "2.000"),
        ("1 234", "2 500,5"),
        ("1'234.50", "-20"),
        ("1.5 €", "- £2"),
        ("1_000", "2_500"),
    ],
)
def test_numbers_as_people_write_them_are_no_categories(write, texts):
    """A network would memorise each; declared as categories, they are accepted."""
    name = write("a;y\n" + "".join(f"{text};1\n" for text in texts))
    with pytest.raises(TableError, match="digits and a decimal point only"):
        read_table(name)
    assert read_table(name, kinds={"a": "category"}).column("a").kind == "category"


@pytest.mark.parametrize(
    "texts",
    [
        ("10-20", "20-30"),
        ("1.2.3", "1.10.0"),
        ("192.168.0.1", "10.0.0.1"),
        ("A1", "B2"),
        ("5 km", "7 km"),
        ("1st", "2nd"),
        ("$5", "cheap", "dear"),
        ("1/2/2020", "spring", "summer"),
    ],
)
def test_other_text_with_digits_is_a_category(write, texts):
    """Ranges, versions, addresses, and words with one number or date among them."""
    table = read_table(write("a;y\n" + "".join(f"{text};1\n" for text in texts)))
    assert table.column("a").categories == tuple(sorted(texts))


@pytest.mark.parametrize(
    "content",
    [gzip.compress(b"a,y\n1,2\n" * 99)[:30], b"a,y\n1,2\n"],
    ids=["cut off", "not compressed"],
)
def test_a_damaged_compressed_file_is_refused(write, content):
    """The message has its name and what to do."""
    with pytest.raises(TableError, match=r"'t\.csv\.gz' cannot be decompressed \(.*; write it "):
        read_table(write(content, "t.csv.gz"))


def test_other_files_are_refused(write):
    """By their names, or if the contents do not match."""
    with pytest.raises(TableError, match=r"'t\.xlsx' is no \.csv, \.tsv or \.parquet file"):
        read_table(write("a\n1\n", "t.xlsx"))
    with pytest.raises(TableError, match=r"'t\.parquet' is no Parquet file, or a damaged one"):
        read_table(write("a\n1\n", "t.parquet"))
    with pytest.raises(FileNotFoundError, match=r"there is no file 'none\.csv'; check its name\."):
        read_table("none.csv")
    parquet.write_table(arrow.table({"a": [[1], [2]]}), "lists.parquet")
    with pytest.raises(TableError, match="which is not all numbers, text or booleans"):
        read_table("lists.parquet")


def test_a_damaged_parquet_file_is_refused(tmp_path):
    """Even if its end, which has the index, is intact; as a whole and in chunks."""
    name = str(tmp_path / "t.parquet")
    parquet.write_table(arrow.table({"a": [i * 0.1 for i in range(10_000)]}), name)
    content = bytearray((tmp_path / "t.parquet").read_bytes())
    content[200:3000] = b"\xff" * 2800
    (tmp_path / "t.parquet").write_bytes(content)
    with pytest.raises(TableError, match=r"is no Parquet file, or a damaged one; write it again"):
        read_table(name)
    with pytest.raises(TableError, match=r"is no Parquet file, or a damaged one; write it again"):
        list(TableStream(name))


def test_all_kinds_of_text_in_parquet_files_are_categories(tmp_path):
    """Arrow knows three of them, and dictionaries."""
    texts = arrow.array(["x", None, "w", "x"])
    kinds = [arrow.string(), arrow.large_string()]
    if int(arrow.__version__.split(".")[0]) >= 22:  # which older ones read, but cannot write
        kinds.append(arrow.string_view())
    columns = {str(kind): texts.cast(kind) for kind in kinds}
    columns["dictionary"] = texts.dictionary_encode()
    parquet.write_table(arrow.table(columns), tmp_path / "t.parquet")
    for column in read_table(tmp_path / "t.parquet").columns:
        assert (column.kind, column.categories) == ("category", ("w", "x"))
        assert column.values.tolist() == [1, -1, 0, 1]


def test_broken_rows_can_be_skipped(write):
    """And are counted."""
    table = read_table(write("a,y\n1,2\n1,2,3\n4\n5,6\n"), on_bad_rows="skip")
    assert table.skipped == 2
    assert table.column("a").values.tolist() == [1.0, 5.0]


def test_columns_can_be_chosen_dropped_and_told_what_they_are(write):
    """Codes that look like numbers are categories if declared so, leading zeros included."""
    name = write("zip,when,x,y\n01069,2020-01-01,1,2\n80331,2020-01-02,2,3\n")
    table = read_table(name, "y", drop=["when"], kinds={"zip": "category"})
    assert table.names == ("zip", "x")
    assert table.column("zip").categories == ("01069", "80331")
    assert read_table(name, only=["x", "y"]).names == ("x", "y")
    with pytest.raises(TableError, match="has no column 'wen'; did you mean 'when'"):
        read_table(name, drop=["wen"])
    with pytest.raises(TableError, match="the target 'y' is dropped"):
        read_table(name, "y", drop=["y"])
    with pytest.raises(
        TableError,
        match=r"line 2 of 't\.csv' has '2020-01-01' in the column 'when', which is not a number",
    ):
        read_table(name, kinds={"when": "number"})


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_stream_yields_the_whole_table_in_chunks(write, tmp_path, monkeypatch, suffix):
    """Whole numbers in the first chunk do not exclude fractions from the next."""
    monkeypatch.setattr("liftgrad.data.formats._CHUNK_BYTES", 1000)
    monkeypatch.setattr("liftgrad.data.formats._CHUNK_ROWS", 100)
    numbers = [float(i) if i < 500 else i + 0.5 for i in range(1000)]
    text = "a,c\n" + "".join(f"{x:g},c{i % 3}\n" for i, x in enumerate(numbers))
    write(text)
    columns = {"a": numbers, "c": [f"c{i % 3}" for i in range(1000)]}
    parquet.write_table(arrow.table(columns), tmp_path / "t.parquet")
    stream = TableStream(f"t.{suffix}")
    for _ in range(2):
        chunks = list(stream)
        assert len(chunks) > 5
        assert np.concatenate([t.column("a").values for t in chunks]).tolist() == numbers
        codes = [np.array(t.column("c").categories)[t.column("c").values] for t in chunks]
        assert np.concatenate(codes).tolist() == columns["c"]


def test_without_pyarrow_one_sentence_says_how_to_get_it(write, monkeypatch):
    """There is no traceback into another package."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"run pip install 'liftgrad\[data\]'\."):
        read_table(write("a\n1\n"))


OPEN = (
    "a quote that opens in line {} of 't.csv' is never closed; close it, or write \"\" for a quote"
)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ('a,y\n1,"x\n2,y\n3,z\n', 2),
        ('a,y\n1,x\n2,"y', 3),
        ('a,y\n"1,x\n2,"y"\n3,z\n', 2),
        ('a,y\n1,"two\nlines"\n2,"x\n3,y\n', 4),
        ('a,y\n1,"x""\n2,y\n', 2),
        ('a,y\n1,"' + "x,2\n" * 100_000, 2),
        ('"a,y\n1,2\n', 1),
    ],
)
@pytest.mark.parametrize("skip", ["error", "skip"])
def test_a_quote_that_is_never_closed_swallows_nothing(write, content, line, skip):
    path = write(content)
    for reading in (read_table, lambda *x, **y: list(TableStream(*x, **y))):
        with pytest.raises(TableError) as error:
            reading(path, on_bad_rows=skip)
        assert OPEN.format(line) in str(error.value)


def test_quotes_that_are_closed_or_just_characters_are_read(write):
    content = 'a,y\n1,"two\nlines"\n2,5" pipe\n3,"say ""so"""\n'
    table = read_table(write(content), "y")
    assert table.target.categories == ('5" pipe', 'say "so"', "two\nlines")


def test_whole_numbers_beyond_floats_are_refused_in_chunks_too(write, monkeypatch):
    monkeypatch.setattr("liftgrad.data.formats._CHUNK_BYTES", 64)
    rows = "".join(f"{number},1\n" for number in [*range(40), 2**53 + 1])
    path = write("a,y\n" + rows)
    with pytest.raises(TableError, match="holds whole numbers beyond"):
        list(TableStream(path))
    chunks = list(TableStream(path, kinds={"a": "number"}))
    assert chunks[-1].columns[0].values[-1] == 2.0**53


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([3, 5], ", and line 5 does not fit either; correct them, or"),
        ([3, 5, 6], ", and 2 more lines do not fit (5, 6); correct them, or"),
        ([3, *range(5, 3000)], ", and 2,995 more lines do not fit (5, 6, 7, ...); correct them"),
    ],
)
def test_all_lines_with_other_fields_are_told_at_once(write, lines, said):
    """The first with its number of fields; of the rest, a few line numbers."""
    rows = ["1,2,3" if i in set(lines) else "1,2" for i in range(2, 3010)]
    with pytest.raises(TableError) as refused:
        read_table(write("a,b\n" + "\n".join(rows)))
    assert f"line 3 of 't.csv' has 3 fields where the header has 2{said}" in str(refused.value)


def test_bad_lines_are_looked_for_in_many_rows_and_not_in_all(write, monkeypatch):
    """A file may be too large to be read again for a message."""
    monkeypatch.setattr("liftgrad.data.formats._SEARCHED", 4)
    rows = ["1,2"] + ["1,2,3"] * 3 + ["1,2"] * 2 + ["1,2,3"] * 9
    with pytest.raises(TableError, match=r"and at least 2 more lines do not fit \(4, 5\)"):
        read_table(write("a,b\n" + "\n".join(rows)))


def test_the_first_bad_line_is_named_though_a_later_one_is_worse(write):
    """Such as one that cannot be decoded."""
    with pytest.raises(TableError, match=r"^line 2 of 't.csv' has 3 fields where the header has 2"):
        read_table(write(b"a,b\n1,2,3\n" + b"1,2\n" * 9000 + b"1,\xff\n"))


@pytest.mark.parametrize("chunk", [64, 1 << 20])
def test_numbers_that_begin_with_a_zero_are_codes(write, monkeypatch, chunk):
    """01 and 1 are different codes, even if the first chunk has none; 0 and 0.5 are numbers."""
    monkeypatch.setattr("liftgrad.data.formats._CHUNK_BYTES", chunk)
    codes = [*("1", "10") * 20, "01", "", "NA"]
    path = write(
        "code,a,b\n" + "".join(f"{code},{i / 10},{i % 2}\n" for i, code in enumerate(codes))
    )
    code, a, b = read_table(path).columns
    assert (code.kind, code.categories) == ("category", ("01", "1", "10"))
    assert code.missing.nonzero()[0].tolist() == [41, 42]
    assert (a.kind, b.kind) == ("number", "number")
    chunks = list(TableStream(path))
    assert {text for t in chunks for text in t.column("code").categories} == {"01", "1", "10"}
    assert read_table(path, kinds={"code": "number"}).column("code").values[40] == 1.0


@pytest.mark.parametrize("chunk", [64, 1 << 20])
def test_whole_numbers_of_any_length_are_not_merged(write, monkeypatch, chunk):
    """pyarrow reads those beyond 2^63 as floats; 1e20 and 0.5 are floats, and are kept."""
    monkeypatch.setattr("liftgrad.data.formats._CHUNK_BYTES", chunk)
    large = "".join(f"{i}.5,{10**20 + i}\n" for i in range(20))
    for reading in (read_table, lambda path: list(TableStream(path))):
        with pytest.raises(TableError, match=r"column 'id' of 't\.csv' holds whole numbers beyond"):
            reading(write("a,id\n" + large))
        reading(write("a,id\n" + large.replace("0000", "0.000")))
    table = read_table(write("a,id\n" + large), kinds={"id": "category"})
    assert len(table.column("id").categories) == 20
    ids = [decimal.Decimal(10**20 + i) for i in range(3)]
    parquet.write_table(arrow.table({"id": ids, "a": [1, 2, 3]}), "t.parquet")
    with pytest.raises(TableError, match="holds whole numbers beyond"):
        read_table("t.parquet")


def test_a_line_break_in_a_field_is_kept_where_a_block_ends(write, monkeypatch):
    r"""pyarrow drops the second half of \r\n there; in compressed files, and in chunks, too."""
    block = 1 << 20
    for shift in (-1, 0, 1):
        long = "z" * (block - len('t,s\r\n0,"') - len('"\r\n1,"A\r') + shift)
        text = f't,s\r\n0,"{long}"\r\n' + '1,"A\r\nB"\r\n' * 3
        for name, content in (("t.csv", text.encode()), ("t.csv.gz", gzip.compress(text.encode()))):
            column = read_table(write(content, name)).column("s")
            assert column.categories == ("A\r\nB", long)
    monkeypatch.setattr("liftgrad.data.formats._CHUNK_BYTES", 64)
    chunks = list(TableStream(write("t,s\r\n" + '1,"A\r\nBB"\r\n' * 99)))
    assert len(chunks) > 10
    assert {text for t in chunks for text in t.column("s").categories} == {"A\r\nBB"}


def test_none_and_na_are_missing_values_or_words(write):
    """Their spelling is known; in a column that is declared as text, they are words."""
    path = write("country,n\nNA,1\nFR,NA\nNone,2\n,3\n")
    country, n = read_table(path).columns
    assert (country.categories, country.missing_as) == (("FR",), ("NA", "None"))
    assert n.missing.tolist() == [False, True, False, False]
    country = read_table(path, kinds={"country": "text"}).column("country")
    assert (country.kind, country.categories) == ("text", ("FR", "NA", "None"))
    assert country.missing.tolist() == [False, False, False, True]


def test_all_that_is_wrong_with_a_file_is_said_at_once(write):
    """Malformed rows, columns unlike their kind, and useless columns; the others are usable."""
    rows = "x,2020-01-31,10%,1\n1,2020-02-01,20%,2\n2,2020-02-02,5%,3,4\n3,2020-02-03,10%,4\n"
    with pytest.raises(TableError) as refused:
        read_table(write("a,day,rate,n\n" + rows), "rate", kinds={"a": "number"})
    assert refused.value.complaints == (
        (
            "line 4 of 't.csv' has 5 fields where the header has 4; correct it, or pass "
            'on_bad_rows="skip".'
        ),
        (
            "line 2 of 't.csv' has 'x' in the column 'a', which is not a number; correct it, or "
            "pass kinds={'a': \"category\"}."
        ),
        (
            "the column 'day' of 't.csv' holds dates or times (date32[day]); turn them into "
            "numbers, such as days since a date, or pass drop=['day']."
        ),
        (
            "the target 'rate' of 't.csv' holds numbers that are written like '10%' in row 1; "
            "write them with digits and a decimal point only, or pass kinds={'rate': \"category\"}."
        ),
    )
    assert refused.value.usable.names == ("n",)
    with pytest.raises(TableError, match=r"has no column 'b'.*\n.*has no column 'c'"):
        read_table(write("a,n\n1,2\n"), drop=["b", "c"])


def test_the_target_is_never_advised_to_be_dropped(write):
    """If it cannot be used, another can be chosen."""
    for values in ("2020-01-31,2020-02-01", "1/31/2020,2/1/2020", "?,?", "12345678901234567890,1"):
        rows = "".join(f"{value},1\n" for value in values.split(","))
        with pytest.raises(TableError, match=r"the target 'y' of 't\.csv'") as refused:
            read_table(write("y,a\n" + rows), "y")
        assert "drop" not in str(refused.value)


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n", "§"])
def test_a_delimiter_is_one_character(write, delimiter):
    with pytest.raises(ValueError, match="pass one character, such as ';'"):
        read_table(write("a\n1\n"), delimiter=delimiter)


def test_dates_can_be_said_to_be_categories(tmp_path):
    """In Parquet files, too, where they have a type of their own."""
    days = arrow.array([18262, 18263, 18262], arrow.date32())
    parquet.write_table(arrow.table({"day": days}), tmp_path / "t.parquet")
    column = read_table(tmp_path / "t.parquet", kinds={"day": "category"}).column("day")
    assert column.categories == ("2020-01-01", "2020-01-02")


def test_a_target_of_numbers_says_how_its_missing_values_are_written(write):
    """None may be a class like 1 and 2; an empty field is not."""
    target = read_table(write("a,y\n1,1\n2,None\n3,\n4,2\n"), "y").target
    assert (target.kind, target.missing_as) == ("number", ("None",))
    assert target.missing.tolist() == [False, True, True, False]


def test_what_a_terminal_obeys_is_written_out_in_errors(write):
    """A column's name may contain anything; a complaint is one line."""
    with pytest.raises(TableError) as refused:
        read_table(write('"a\x1b[2J\nb",y\n2020-01-01,1\n'), "y")
    assert str(refused.value).startswith(r"the column 'a\x1b[2J\nb' of 't.csv' holds dates")
