"""The CSV reader: numbers come through exactly, everything else is an error with its place."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ptx.infer.errors import InputError
from ptx.infer.tables.numbers import read_rows, read_table


@pytest.mark.parametrize(
    ("data", "header", "rows", "lines"),
    [
        (b"1,2\n3,4\n", None, [[1, 2], [3, 4]], (1, 2)),
        (b"1,2\r\n3,4", None, [[1, 2], [3, 4]], (1, 2)),
        (b"\xef\xbb\xbf1,2\n", None, [[1, 2]], (1,)),
        (b"\xef\xbb\xbfa,b\n1,2\n", ("a", "b"), [[1, 2]], (2,)),
        (b"a,\n1,2\n", ("a", ""), [[1, 2]], (2,)),
        (b'"a, b",c\n1,2\n', ("a, b", "c"), [[1, 2]], (2,)),
        (b'"a\nb",c\n1,2\n', ("a\nb", "c"), [[1, 2]], (3,)),
        (b"\n1,2\n\n\n3,4\n\n", None, [[1, 2], [3, 4]], (2, 5)),
        (b" 1 , -2.5\n+.5,1e-3\n", None, [[1, -2.5], [0.5, 0.001]], (1, 2)),
        (b"7\n", None, [[7]], (1,)),
        (b'"1","2."\n', None, [[1, 2]], (1,)),
    ],
)
def test_numbers_come_through_with_their_header_and_lines(
    data: bytes,
    header: tuple[str, ...] | None,
    rows: list[list[float]],
    lines: tuple[int, ...],
) -> None:
    table = read_table(data, name="t.csv")
    assert table.header == header
    assert table.rows.dtype == np.float64
    assert table.rows.tolist() == rows
    assert table.lines == lines


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "'t.csv' is empty"),
        (b"\n\n", "'t.csv' is empty"),
        (b"\xef\xbb\xbf", "'t.csv' is empty"),
        (b"a,b\n", "has a header line but no rows"),
        (b"1,2\n3,x\n", "line 2, column 2 is 'x'; expected a number"),
        (b"a,bmi\n1,2\n3,x\n", "line 3, column 2 ('bmi') is 'x'; expected a number"),
        (b"1,2\n3,\n", "line 2, column 2 is empty; expected a number"),
        (b"1,2\n\n3\n", "line 3 has 1 cell, line 1 has 2; expected the same number of cells"),
        (b"1,2\n3,4,5\n", "line 2 has 3 cells, line 1 has 2"),
        (b"1,x\n2,3\n", "line 1, column 2 is 'x'"),
        (b"nan,x\n2,3\n", "line 1, column 1 is 'nan'; expected a finite number"),
        (b"1;2\n3;4\n", "separated by ';'"),
        (b"a;b\n1,5;2,5\n", "separated by ';'"),
        (b"1\t2\n", "separated by tabs"),
        (b'1,"2,5"\n', "column 2 is '2,5'; expected a number: write decimals with a point"),
        (b"1,nan\n", "line 1, column 2 is 'nan'; expected a finite number"),
        (b"1,2\n-Infinity,2\n", "line 2, column 1 is '-Infinity'; expected a finite number"),
        (b"1e999,2\n", "line 1, column 1 is '1e999', too large; expected a finite number"),
        (b"1_000,2\n", "line 1, column 1 is '1_000'; expected a number"),
        ("١,2\n".encode(), "line 1, column 1 is '١'; expected a number"),
        (b"0x10,2\n", "line 1, column 1 is '0x10'"),
        (b"1,\x1b[2J\n", r"column 2 is '\x1b[2J'"),
        (b"1," + b"x" * 500 + b"\n", "x…'; expected a number"),
        (b"1,2\n\xff,3\n", "line 2 is not UTF-8; expected UTF-8: save it as 'CSV UTF-8'"),
        ("1,2\n".encode("utf-16"), "is UTF-16 text; expected UTF-8"),
        (b'1,2\n"3,4\n', "line 2: unexpected end of data"),
        (b'1,"2"3\n', "line 1: "),
        (b"1,\x00\n", r"column 2 is '\x00'; expected a number"),
    ],
)
def test_what_is_no_number_is_an_error_with_its_place(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        read_table(data, name="t.csv")
    assert caught.value.code == "E-CSV"
    assert "\n" not in str(caught.value)


def test_place_names_line_column_and_title() -> None:
    table = read_table(b"a,b\n\n1,2\n", name="t.csv")
    assert table.place(0, 1) == "line 3, column 2 ('b')"


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@given(st.integers(1, 4).flatmap(lambda n: st.lists(st.lists(FINITE, min_size=n, max_size=n))))
def test_every_float_survives_the_way_through_text(rows: list[list[float]]) -> None:
    if not rows:
        return
    text = "".join(",".join(map(repr, row)) + "\n" for row in rows)
    assert read_table(text.encode(), name="t.csv").rows.tolist() == rows


@given(st.binary(max_size=60) | st.text("0123456789.,;-+e\"'\n\r\tab\ufeff", max_size=40))
def test_anything_else_is_read_as_finite_numbers_or_refused(data: bytes | str) -> None:
    content = data if isinstance(data, bytes) else data.encode()
    try:
        table = read_table(content, name="t.csv")
    except InputError:
        return
    assert np.isfinite(table.rows).all()
    assert table.rows.size > 0
    assert len(table.lines) == len(table.rows)


COLUMNS = ("glucose", "body mass index", "age")


@pytest.mark.parametrize(
    "text",
    [
        "glucose,body mass index,age\n1,2,3\n4,5,6\n",
        "Age,Glucose,Body_Mass-Index\n3,1,2\n6,4,5\n",
        "id,age,outcome,glucose,body mass index\n9,3,0,1,2\n9,6,1,4,5\n",
        "1,2,3\n4,5,6\n",
    ],
)
def test_columns_are_taken_by_name_where_the_header_names_them(text: str) -> None:
    rows = read_rows(text.encode(), name="x.csv", columns=COLUMNS).rows
    assert all(not isinstance(row, InputError) for _, row in rows)
    assert [list(row) for _, row in rows if not isinstance(row, InputError)] == [
        [1, 2, 3],
        [4, 5, 6],
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,glucose,b\n1,2,3\n", "has a header without 'body mass index'; expected the columns"),
        ("a,b,c\n1,2,3\n", "has a header without 'glucose', 'body mass index', 'age'; expected"),
        ("age,b,c\n1,2,3\n", "has a header without 'glucose', 'body mass index'; expected"),
        ("age,glucose,body mass index,AGE\n1,2,3,4\n", "has the column 'age' twice"),
    ],
)
def test_a_header_without_all_of_the_names_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_rows(text.encode(), name="x.csv", columns=COLUMNS)
    assert caught.value.code == "E-CSV"


def test_what_was_assumed_and_what_was_not_used_is_noted() -> None:
    def note(text: str) -> str:
        return read_rows(text.encode(), name="x.csv", columns=COLUMNS).note

    assert note("glucose,body mass index,age\n1,2,3\n") == ""
    assert "'id', 'outcome'" in note("id,age,outcome,glucose,body mass index\n9,3,0,1,2\n")
    assert "glucose, body mass index, age" in note("1,2,3\n")
    assert read_rows(b"1\n2\n", name="x.csv", columns=("x",)).note == ""


def test_of_a_row_that_cannot_be_used_the_error_stays() -> None:
    text = b"age,glucose,body mass index\n1,x,3\n4,5,6\n"
    rows = read_rows(text, name="x.csv", columns=COLUMNS).rows
    assert isinstance(rows[0][1], InputError)
    assert list(rows[1][1]) == [5, 6, 4]  # type: ignore[arg-type]


def test_the_only_column_may_be_called_anything() -> None:
    ((_, row),) = read_rows(b"hours\n4\n", name="x.csv", columns=("x",)).rows
    assert list(row) == [4]  # type: ignore[arg-type]
