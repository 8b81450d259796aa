"""CSV files for models of columns and of texts."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from ptx.infer.errors import InputError
from ptx.trainers.data import open_dataset


def table(folder: Path, text: str) -> Path:
    path = folder / "rows.csv"
    path.write_text(text)
    return path


def test_numbers_without_labels_are_predicted_as_they_are(tmp_path: Path) -> None:
    path = table(tmp_path, "x,y\n" + "".join(f"{n},{2 * n}\n" for n in range(10)))
    data = open_dataset(str(path), default="line", cache=tmp_path)
    assert (len(data.train), len(data.test)) == (8, 2)
    assert data.train.inputs["columns"].shape == (8, 1)
    assert data.train.targets.shape == (8, 1)
    assert data.train.targets.dtype == data.train.inputs["columns"].dtype == np.float32
    assert (data.train.targets == 2 * data.train.inputs["columns"]).all()
    assert (data.name, data.labels, data.source) == ("rows", (), "the file rows.csv")


def test_class_indices_take_the_labels_of_the_models_own_data(tmp_path: Path) -> None:
    path = table(tmp_path, "1,0\n2,0\n3,1\n4,1\n")
    data = open_dataset(str(path), default="hours", cache=tmp_path)
    assert data.labels == ("fail", "pass")
    assert sorted(data.train.targets.tolist()) == sorted(data.test.targets.tolist()) == [0, 1]
    assert data.train.targets.dtype == np.int64


@pytest.mark.parametrize(
    ("text", "default", "message"),
    [
        ("1,0\n2,2\n", "hours", "line 2, column 2 is 2; expected a class index (0 fail, 1 pass)"),
        ("h,c\n1,0.5\n", "hours", "line 2, column 2 ('c') is 0.5; expected a class index"),
        ("1,0\n2,0\n", "hours", "has 2 of 'fail'"),
        ("1,0\n2,0\n3,1\n", "hours", "has 2 of 'fail', 1 of 'pass'"),
        ("1,2,0\n", "hours", "has 3 columns; expected 2"),
        ("1\n", "hours", "has 1 column; expected 2"),
        ("1,2\n", "line", "has one row; expected two or more"),
        ("1,1e39\n2,3\n", "line", "line 1, column 2 is 1e+39; expected a number that fits"),
        ("1,x\n", "line", "line 1, column 2 is 'x'; expected a number"),
        ("", "line", "is empty"),
        ("a,English\nb,Czech\nc,Czech\n", "names", "the class 'English' has one row"),
        ("a,Czech\nb,Czech\n", "names", "there is one class"),
        ("a\nb,Czech\n", "names", "line 1 is 'a'; expected rows of two cells"),
        ("", "names", "is empty; expected rows of two cells"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    tmp_path: Path, text: str, default: str, message: str
) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        open_dataset(str(table(tmp_path, text)), default=default, cache=tmp_path)


DIABETES = tuple("abcdefgh")


@pytest.mark.parametrize(
    ("header", "order"),
    [
        ("h,g,f,e,d,c,b,a,target", "76543210"),
        ("target,A,B,C,D,E,F,G,H", "12345678"),
        ("p,q,r,s,t,u,v,w,x", "01234567"),
        ("", "01234567"),
    ],
)
def test_the_columns_of_a_header_are_matched_by_name(
    tmp_path: Path, header: str, order: str
) -> None:
    target = header.split(",").index("target") if "target" in header else 8
    cells = [str(10 + place) for place in range(9)]
    rows = [",".join([*cells[:target], str(n % 2), *cells[target + 1 :]]) for n in range(4)]
    path = table(tmp_path, "\n".join([header, *rows]).strip())
    data = open_dataset(str(path), default="diabetes", cache=tmp_path, columns=DIABETES)
    assert sorted(data.train.targets.tolist()) == [0, 1]
    expected = [10 + int(place) for place in order]
    assert data.train.inputs["columns"].tolist() == [expected, expected]


def test_a_header_of_other_names_is_that_of_a_new_model_and_refused_for_a_trained_one(
    tmp_path: Path,
) -> None:
    rows = "".join(f"1,2,3,4,5,6,7,{n},{n % 2}\n" for n in range(8))
    path = table(tmp_path, f"p,q,r,s,t,u,v,w,x\n{rows}")
    data = open_dataset(str(path), default="diabetes", cache=tmp_path, columns=DIABETES)
    assert data.columns == tuple("pqrstuvw")
    with pytest.raises(InputError) as caught:
        open_dataset(str(path), default="diabetes", cache=tmp_path, columns=DIABETES, trained=True)
    assert caught.value.code == "E-CSV"
    again = open_dataset(
        str(path), default="diabetes", cache=tmp_path, columns=data.columns, trained=True
    )
    assert again.sha256 == data.sha256


@pytest.mark.parametrize("title", ["", "p"])
def test_columns_that_cannot_be_told_by_name_are_refused(tmp_path: Path, title: str) -> None:
    path = table(tmp_path, f"p,q,r,s,t,u,v,{title},x\n1,2,3,4,5,6,7,8,0\n1,2,3,4,5,6,7,8,1\n")
    with pytest.raises(InputError) as caught:
        open_dataset(str(path), default="diabetes", cache=tmp_path, columns=DIABETES)
    assert caught.value.code == "E-CSV"


def test_a_header_that_names_some_of_the_columns_is_refused(tmp_path: Path) -> None:
    path = table(tmp_path, "a,b,c,d,e,f,g,x,target\n1,2,3,4,5,6,7,8,0\n")
    with pytest.raises(InputError, match="has a header without 'h'; expected the columns a, b"):
        open_dataset(str(path), default="diabetes", cache=tmp_path, columns=DIABETES)


def test_a_cell_is_named_by_its_place_in_the_file(tmp_path: Path) -> None:
    path = table(tmp_path, "passed,hours\n2,1\n0,1\n")
    with pytest.raises(InputError, match=r"line 2, column 1 \('passed'\) is 2"):
        open_dataset(str(path), default="hours", cache=tmp_path, columns=("hours",))


def test_texts_are_split_within_each_class(tmp_path: Path) -> None:
    rows = "".join(f"Name {n},{('Czech', 'Irish')[n % 2]}\n" for n in range(10))
    path = table(tmp_path, f"name,language\n{rows}")
    data = open_dataset(str(path), default="names", cache=tmp_path)
    assert data.labels == ("Czech", "Irish")
    assert np.bincount(data.train.targets).tolist() == [4, 4]
    assert data.train.inputs["text"].dtype == object
    known = open_dataset(
        str(path), default="names", cache=tmp_path, labels=("Arabic", "Czech", "Irish")
    )
    assert sorted(set(known.train.targets.tolist())) == [1, 2]


def test_a_text_file_in_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes("a,Czech\nMüller,German\n".encode("latin-1"))
    with pytest.raises(InputError, match="line 2 is not UTF-8"):
        open_dataset(str(path), default="names", cache=tmp_path)
