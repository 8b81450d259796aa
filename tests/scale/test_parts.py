"""The work in parts, from every kind of input to Parquet files, without an engine."""

from __future__ import annotations

import errno
import io
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from scale_faults import Failing

from ptx import infer
from ptx.infer.errors import ArtifactError, InputError, OutputError, UsageError
from ptx.infer.prediction import Named
from ptx.infer.preprocessing import Preprocessing
from ptx.scale import parts as planning
from ptx.scale import store as stores
from ptx.scale.guard import Guarded
from ptx.scale.output import Output
from ptx.scale.parts import Part, digest, part_rows, plan
from ptx.scale.reading import read_part
from ptx.scale.sharing import Opening
from ptx.scale.store import Store


@pytest.fixture(scope="module")
def digits(convnet: Path) -> Iterator[infer.Predictor]:
    with infer.load(convnet, backend="ort-cpu", threads=1) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path, seven: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """`in/` with pictures, and the same as Parquet, CSV and tar beside it; the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in" / "b").mkdir(parents=True)
    names = ["in/a.png", "in/b/c.png", "in/d.png"]
    for name in names:
        shutil.copy(seven, name)
    Path("in/notes.txt").write_text("no input")
    content = seven.read_bytes()
    table = pa.table({"id": range(10), "bytes": [content] * 10, "path": ["in/a.png"] * 10})
    pq.write_table(table, "d.parquet", row_group_size=4)
    Path("d.csv").write_text("label,path\n7,in/a.png\n7,in/none.png\n")
    with tarfile.open("d.tar", "w") as archive:
        for name in ("0.png", "0.cls", "1.png"):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return tmp_path


def read_all(
    inputs: list[str], preprocessing: Preprocessing, column: str | None = None, **store: Any
) -> list[Named]:
    place = Store(**store)
    parts = plan(inputs, preprocessing, place, column)
    return [value for part in parts for value in read_part(part, preprocessing, place, column)]


@pytest.mark.parametrize(
    ("given", "column", "names"),
    [
        ("in", None, ["in/a.png", "in/b/c.png", "in/d.png"]),
        ("in/", None, ["in/a.png", "in/b/c.png", "in/d.png"]),
        ("in/*.png", None, ["in/a.png", "in/d.png"]),
        ("in/**/*.png", None, ["in/a.png", "in/b/c.png", "in/d.png"]),
        ("in/[!a].png", None, ["in/d.png"]),
        ("in/a.png", None, ["in/a.png"]),
        ("d.parquet", None, [f"d.parquet[{row}]" for row in range(10)]),
        ("d.parquet", "path", ["in/a.png"] * 10),
        ("d.csv", "path", ["in/a.png", "in/none.png"]),
        ("d.tar", None, ["d.tar/0.png", "d.tar/1.png"]),
        ("d.tar", "cls", ["d.tar/0.cls"]),
    ],
)
def test_every_kind_of_input_has_its_rows(
    digits: infer.Predictor, folder: Path, given: str, column: str | None, names: list[str]
) -> None:
    values = read_all([given], digits.preprocessing, column)
    assert [value.name for value in values] == names
    answers = list(digits.predict_many(values, on_error="yield"))
    bad = [answer.input for answer in answers if isinstance(answer, infer.Failure)]
    assert bad == [name for name in names if "none" in name]


def test_uris_are_read_as_the_paths_are(digits: infer.Predictor, folder: Path) -> None:
    values = read_all([f"file://{folder}/in"], digits.preprocessing)
    assert next(value.name for value in values) == f"file://{folder}/in/a.png"
    assert all(isinstance(a, infer.Prediction) for a in digits.predict_many(values))


@pytest.mark.parametrize("size", [1, 3, 4, 7, 100])
def test_every_row_of_a_table_is_in_exactly_one_part(
    digits: infer.Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr(planning, "part_rows", lambda total, preprocessing: size)
    for name, expected in (("d.parquet", 10), ("d.csv", 2), ("in", 3)):
        column = "path" if name == "d.csv" else None
        store = Store()
        parts = plan([name], digits.preprocessing, store, column)
        rows = [[*read_part(part, digits.preprocessing, store, column)] for part in parts]
        names = [value.name for part in rows for value in part]
        assert len(names) == len(set(names)) == expected
        assert max(map(len, rows)) <= max(size, 1)


def test_numbers_and_texts_come_from_tables(artifact: Any, folder: Path) -> None:
    Path("hours.csv").write_text("hours\n1.5\nx\n")
    with infer.load(artifact("linear-model", "onnx")) as line:
        values = read_all(["hours.csv"], line.preprocessing)
        assert [value.name for value in values] == ["hours.csv, line 2", "hours.csv, line 3"]
        answers = list(line.predict_many(values, on_error="yield"))
        assert [type(answer).__name__ for answer in answers] == ["Prediction", "Failure"]
        with pytest.raises(UsageError, match="is no table"):
            read_all(["in/a.png"], line.preprocessing)


@pytest.mark.parametrize(
    ("inputs", "error", "why"),
    [
        (["none"], InputError, "'none': no such file"),
        (["in/*.gif"], InputError, "matches no file"),
        (["empty"], InputError, "holds no"),
        (["cut.parquet"], InputError, "is no whole Parquet file"),
        (["d.parquet"], UsageError, "has no column 'x': --column names one of id, bytes, path"),
        (["nowhere://a"], UsageError, "cannot be reached"),
    ],
)
def test_what_cannot_be_planned_is_said_before_the_work(
    digits: infer.Predictor, folder: Path, inputs: list[str], error: type[Exception], why: str
) -> None:
    Path("empty").mkdir()
    Path("cut.parquet").write_bytes(Path("d.parquet").read_bytes()[:-9])
    with pytest.raises(error, match=why):
        plan(inputs, digits.preprocessing, Store(), "x" if "has no" in why else None)


def test_a_job_is_told_by_all_that_its_answers_depend_on(digits: infer.Predictor) -> None:
    parts = [Part("files", ("a.png", "b.png"), rows=2)]
    known = digest(parts, "sha", "ort-cpu", 3)
    assert known == digest([Part("files", ("a.png", "b.png"), rows=2)], "sha", "ort-cpu", 3)
    others = [digest(parts, "sha", "ort-cpu", 1), digest(parts[:0], "sha", "ort-cpu", 3),
              digest([Part("files", ("a.png", "c.png"), rows=2)], "sha", "ort-cpu", 3)]  # fmt: skip
    assert known not in others


def test_the_size_of_a_part_comes_from_the_inputs_and_the_card(digits: infer.Predictor) -> None:
    sizes = [part_rows(total, digits.preprocessing) for total in (1, 70_000, 10**6, 10**9)]
    assert sizes == [1024, 2188, 16_384, 16_384]


def test_a_store_whose_reads_fail_now_and_then_is_asked_again(
    digits: infer.Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_WAITS", (0.0, 0.0))
    handler = Failing(reads=5)
    system = fs.PyFileSystem(handler)
    values = read_all(
        [f"{folder}/in", f"{folder}/d.parquet"], digits.preprocessing, filesystem=system
    )
    assert len(values) == 13
    assert handler.reads > 5
    assert all(isinstance(value.value, bytes) for value in values)


def test_a_store_that_fails_for_long_is_no_bad_row(
    digits: infer.Predictor, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_WAITS", (0.0, 0.0))
    with pytest.raises(InputError, match=r"cannot be read: .*busy"):
        read_all(
            [f"{folder}/in"], digits.preprocessing, filesystem=fs.PyFileSystem(Failing(reads=1))
        )


@pytest.fixture
def output(tmp_path: Path) -> Output:
    return Output(Store(), str(tmp_path / "out"), "0123456789ab")


def test_a_part_is_whole_or_not_there(digits: infer.Predictor, output: Output, seven: Path) -> None:
    assert output.begin() == set()

    def stop() -> Iterator[infer.Prediction]:
        yield digits.predict(seven)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        output.write(0, stop())
    done = output.write(3, digits.predict_many([seven, b"bad"], on_error="yield"))
    assert (done.good, done.bad) == (1, 1)
    assert output.begin() == {3}
    assert output.read(3) == done
    table = pq.read_table(output.folder)
    assert table.column_names == ["input", "label", "score", "top", "value", "error"]
    assert table["input"].to_pylist() == [str(seven), None]
    (Path(output.folder) / f".{output.file(1)}.beef.tmp").write_bytes(b"half")
    output.end()
    assert [path.name for path in Path(output.folder).iterdir()] == [output.file(3)]


def test_a_folder_of_another_job_is_left_alone(output: Output, tmp_path: Path) -> None:
    output.begin()
    output.write(0, [])
    with pytest.raises(ArtifactError, match="of another job"):
        output._replace(job="ffffffffffff").begin()


def test_a_folder_that_cannot_be_written_is_an_output_error(output: Output, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        output.begin()


def full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_leaves_no_part(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    output.begin()
    monkeypatch.setattr(Output, "_put", full)
    with pytest.raises(OutputError) as caught:
        output.write(0, [])
    assert caught.value.code == "E-OUT-SPACE"
    assert list(Path(output.folder).iterdir()) == []


CRASH = "crash me"


class Crashing(Opening):
    """A model whose decoder ends the process on one input."""

    def open(self) -> infer.Predictor:
        import os

        predictor = super().open()
        read: Callable[[Any], Any] = predictor.preprocessing.read

        def ending(value: Any) -> Any:
            if value == CRASH:
                os.kill(os.getpid(), 11)
            return read(value)

        object.__setattr__(predictor.preprocessing, "read", ending)
        return predictor


def test_an_input_that_ends_the_process_is_one_error(convnet: Path, seven: Path) -> None:
    opening = Opening(convnet.read_bytes(), "convnet.onnx", "ort-cpu", infer.Options(threads=1))
    guarded = Guarded(opening)
    guarded.close()
    content = seven.read_bytes()
    values = [Named(str(index), content if index % 4 else b"bad") for index in range(9)]
    values[5] = Named("5", CRASH)
    crashing = Guarded(Crashing(**vars(opening)))
    answers = list(crashing.predict_many(values, batch_size=6, top=3))
    crashing.close()
    assert [answer.input for answer in answers] == [str(index) for index in range(9)]
    errors = {a.input: a.error.code for a in answers if isinstance(a, infer.Failure)}
    assert errors.pop("5") == "E-IN-CRASH"
    assert Counter(errors.values()) == {"E-IMG-FORMAT": 3}
    with opening.open() as predictor:
        assert answers[1] == next(predictor.predict_many([values[1]]))
