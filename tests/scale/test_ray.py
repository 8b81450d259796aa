"""Real Ray, on one local cluster of three processors for all of these tests."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from ptx import infer, scale
from ptx.infer.errors import ArtifactError, BackendError, UsageError
from ptx.scale import ray_files
from ptx.scale.ray import Predict, Workers, predict, put_model

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own

COUNT = 2500  # rows


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(
        num_cpus=3, include_dashboard=False, object_store_memory=256 * 2**20, log_to_driver=False
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Digits in Parquet, one of a hundred of them no picture."""
    pictures = [
        path.read_bytes()
        for path in sorted((Path(__file__).parents[1] / "pictures").glob("mnist-*.png"))
    ]
    rows = [
        b"bad" if index % 100 == 7 else pictures[index % len(pictures)] for index in range(COUNT)
    ]
    path = tmp_path_factory.mktemp("table") / "digits.parquet"
    pq.write_table(pa.table({"id": range(COUNT), "bytes": rows}), path, row_group_size=500)
    return path


@pytest.fixture(scope="module")
def expected(table: Path, convnet: Path) -> pa.Table:
    """What `ptx.scale.batch` says of it, whose answers are those of the command line."""
    with infer.load(convnet, backend="ort-cpu", threads=1) as predictor:
        (records,) = pq.read_table(table).combine_chunks().to_batches()
        return pa.Table.from_batches([scale.batch(records, predictor)])


def test_a_pipeline_gets_the_answers_of_the_command_line(
    table: Path, convnet: Path, expected: pa.Table
) -> None:
    answered = predict(ray.data.read_parquet(str(table)), convnet, backend="ort-cpu")
    rows = sorted(answered.take_all(), key=lambda row: row["id"])
    assert rows == expected.to_pylist()


def test_a_process_answers_one_block_after_another(
    table: Path, convnet: Path, expected: pa.Table
) -> None:
    blocks = ray.data.read_parquet(str(table)).repartition(6)
    answered = predict(blocks, convnet, backend="ort-cpu", workers=Workers(concurrency=1))
    rows = sorted(answered.take_all(), key=lambda row: row["id"])
    assert rows == expected.to_pylist()


def command(*inputs: object, model: Path, output: Path) -> tuple[object, ...]:
    return (
        "predict",
        *inputs,
        "--model",
        model,
        "--backend",
        "ort-cpu",
        "--on",
        "ray",
        "--concurrency",
        2,
        "--output",
        output,
    )


def test_a_table_goes_into_a_folder_and_an_interrupted_job_continues(
    ptx: Any,
    table: Path,
    convnet: Path,
    expected: pa.Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ray_files, "BLOCK_ROWS", 500)
    output = tmp_path / "out"
    given = command(table, model=convnet, output=output)
    done = ptx(*given)
    assert (done.code, done.err) == (4, "")
    assert done.out == f"{output}: 2,475 predictions, 25 inputs that cannot be used\n"
    complete = predictions(output)
    rows = expected.drop_columns(["bytes"]).to_pylist()
    assert sorted(complete.values(), key=lambda row: row["id"]) == rows
    assert all(name.startswith(f"{table}#") for name in complete)

    files = sorted(output.glob("*.parquet"))
    assert len(files) > 1
    files[0].unlink()
    files[1].write_bytes(files[1].read_bytes()[:-8])  # as a killed process leaves it
    times = {path: path.stat().st_mtime_ns for path in files[2:]}
    assert ptx(*given).code == 4  # E-RESUME: not without being asked
    assert ptx(*given, "--resume") == done
    assert predictions(output) == complete
    assert all(path.stat().st_mtime_ns == before for path, before in times.items())

    other = ptx(*given, "--resume", "--top", 5)
    assert other.code == 4
    assert "E-RESUME" in other.err
    assert "top" in other.err


def test_every_kind_of_file_has_its_rows(
    ptx: Any, convnet: Path, seven: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "in"
    (folder / "b").mkdir(parents=True)
    for name in ("a.png", "b/c.png", "d.png"):
        shutil.copy(seven, folder / name)
    (folder / "notes.txt").write_text("not an input")
    (tmp_path / "d.csv").write_text(f"label,path\n7,{folder}/a.png\n7,{folder}/none.png\n7\n")
    with tarfile.open(tmp_path / "d.tar", "w") as archive:
        for name in ("0.png", "0.cls", "1.png"):
            member = tarfile.TarInfo(name)
            member.size = seven.stat().st_size
            archive.addfile(member, io.BytesIO(seven.read_bytes()))
    expected = {
        "in": [f"{folder}/a.png", f"{folder}/b/c.png", f"{folder}/d.png"],
        "in/*.png": [f"{folder}/a.png", f"{folder}/d.png"],
        "in/**/[!a].png": [f"{folder}/b/c.png", f"{folder}/d.png"],
        f"file://{folder}/a.png": [f"file://{folder}/a.png"],
        "d.csv": [f"{tmp_path}/d.csv, line {line}" for line in (2, 3, 4)],
        "d.tar": [f"{tmp_path}/d.tar/{name}.png" for name in (0, 1)],
    }
    with infer.load(convnet, backend="ort-cpu") as predictor:
        label = predictor.predict(seven).label
    for number, (given, names) in enumerate(expected.items()):
        output = tmp_path / f"out{number}"
        column = ("--column", "path") if given == "d.csv" else ()
        done = ptx(*command(given, *column, model=convnet, output=output))
        found = predictions(output)
        assert sorted(found) == names, (given, done.err)
        bad = [name for name, row in found.items() if row["error"] is not None]
        assert bad == (names[1:] if given == "d.csv" else []), given
        assert {row["label"] for name, row in found.items() if name not in bad} == {label}, given


@pytest.mark.parametrize(
    ("given", "options", "code"),
    [
        ("none", (), "E-IN-MISSING"),
        ("*.gif", (), "E-IN-MISSING"),
        ("empty", (), "E-IN-EMPTY"),
        ("nowhere://a", (), "cannot be opened"),
        ("t.parquet", ("--column", "x"), "no column 'x'"),
        ("labelled.parquet", (), "--prefix"),
    ],
)
def test_what_cannot_be_predicted_is_one_error(
    ptx: Any,
    convnet: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    given: str,
    options: tuple[str, ...],
    code: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    pq.write_table(pa.table({"bytes": [b"bad"]}), "t.parquet")
    pq.write_table(pa.table({"bytes": [b"bad"], "label": ["7"]}), "labelled.parquet")
    done = ptx(*command(given, *options, model=convnet, output=tmp_path / "out"))
    assert done.code in (2, 4)
    assert code in done.err
    assert len(done.err.strip().splitlines()) == 1, done.err


@pytest.mark.skipif("PTX_SCALE" not in os.environ, reason="scripts/test --scale runs it")
def test_a_cluster_of_this_machine_leaves_nothing_behind(
    table: Path, convnet: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "ptx.cli",
            "predict",
            table,
            "--model",
            convnet,
            "--backend",
            "ort-cpu",
            "--on",
            "ray",
            "--output",
            tmp_path / "out",
        ],
        env={**environment, "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert len(predictions(tmp_path / "out")) == COUNT
    assert not (home / ".ray").exists()


def predictions(folder: Path) -> dict[str, dict[str, Any]]:
    rows = pq.read_table(folder).to_pylist()
    found = {row.pop("input"): row for row in rows}
    assert len(found) == len(rows), "a row is doubled"
    return found


def test_a_backend_that_is_not_there_is_exit_3_before_any_data_are_read(
    ptx: Any, table: Path, convnet: Path, tmp_path: Path
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    done = ptx(*command(table, model=convnet, output=tmp_path / "out"), "--backend", "ort-cuda")
    assert done.code == 3
    assert "use --backend ort-cpu or --backend auto" in done.err
    assert list((tmp_path / "out").glob("*.parquet")) == []
    with pytest.raises(BackendError):
        predict(ray.data.range(3), convnet, backend="ort-cuda")


def test_the_digest_is_checked_in_the_worker(table: Path, convnet: Path, tmp_path: Path) -> None:
    model = put_model(convnet)
    damaged = bytearray(convnet.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    changed = replace(model, data=ray.put(bytes(damaged)))
    with pytest.raises(ArtifactError) as caught:
        predict(ray.data.range(3), changed)
    assert caught.value.code in ("E-HASH", "E-ONNX-PARSE")


def test_a_model_file_that_changes_during_the_job_changes_nothing(
    table: Path, convnet: Path, expected: pa.Table, tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(convnet.read_bytes())
    answered = predict(ray.data.read_parquet(str(table)).limit(100), model, backend="ort-cpu")
    model.write_bytes(b"something else")
    rows = sorted(answered.take_all(), key=lambda row: row["id"])
    assert rows == expected.slice(0, 100).to_pylist()


def test_workers_leave_a_processor_to_read_and_write_with() -> None:
    assert Workers().max_count == 2
    assert Workers(num_cpus=0.5).max_count == 4
    with pytest.raises(UsageError, match="3 workers"):
        _ = Workers(concurrency=3).max_count
    with pytest.raises(UsageError, match="GPUs"):
        _ = Workers(num_gpus=1).max_count


def test_the_class_takes_a_model_ref_and_arrow(convnet: Path) -> None:
    with pytest.raises(UsageError, match=r"ptx\.scale\.ray\.put_model"):
        Predict(str(convnet))  # type: ignore[arg-type]
    worker = Predict(put_model(convnet), backend="ort-cpu")
    with pytest.raises(UsageError, match="batch_format='pyarrow'"):
        worker({"bytes": []})
    empty = pa.table({"bytes": pa.array([], pa.binary())})
    assert worker(empty).num_rows == 0
