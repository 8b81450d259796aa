"""Real Ray, on one local cluster of two processors for all of these tests."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray

from ptx import infer, scale
from ptx.infer.errors import ArtifactError, BackendError, UsageError
from ptx.scale.job import Job, predict_files
from ptx.scale.ray import Predict, Workers, predict, share

pytestmark = pytest.mark.filterwarnings("default")  # Ray's own

COUNT = 2500  # rows: three parts


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(
        num_cpus=2, include_dashboard=False, object_store_memory=256 * 2**20, log_to_driver=False
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


def test_files_go_into_parts_and_a_job_goes_on(
    ptx: Any, table: Path, convnet: Path, expected: pa.Table, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    command = ("predict", table, "--model", convnet, "--backend", "ort-cpu", "--on", "ray",
               "--concurrency", 2, "--output", output)  # fmt: skip
    done = ptx(*command)
    assert (done.code, done.err) == (4, "")
    assert done.out == f"{output}: 2,475 predictions, 25 inputs that cannot be used\n"
    parts = sorted(output.iterdir())
    assert len(parts) == 3
    names = [f"{table}[{row}]" for row in range(COUNT)]
    wanted = expected.select(scale.answer_schema().names).to_pylist()
    assert answers(output) == dict(zip(names, wanted, strict=True))

    times = [path.stat().st_mtime_ns for path in parts]
    parts[1].unlink()
    again = ptx(*command)
    assert again == done
    after = [path.stat().st_mtime_ns for path in parts]
    assert [now == then for now, then in zip(after, times, strict=True)] == [True, False, True]
    assert answers(output) == dict(zip(names, wanted, strict=True))

    other = ptx(*command, "--top", 5)
    assert other.code == 4
    assert "of another job" in other.err


@pytest.mark.skipif("PTX_SCALE" not in os.environ, reason="scripts/test --scale runs it")
def test_a_cluster_of_this_machine_leaves_nothing_behind(
    table: Path, convnet: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, "-m", "ptx.cli", "predict", table, "--model", convnet, "--backend", "ort-cpu",
         "--on", "ray", "--output", tmp_path / "out"],
        env={**environment, "HOME": str(home)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert len(answers(tmp_path / "out")) == COUNT
    assert not (home / ".ray").exists()


def answers(folder: Path) -> dict[str, dict[str, Any]]:
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
    done = ptx("predict", table, "--model", convnet, "--backend", "ort-cuda", "--on", "ray",
               "--output", tmp_path / "out")  # fmt: skip
    assert done.code == 3
    assert "use --backend ort-cpu, or let --backend auto choose" in done.err
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(BackendError):
        predict(ray.data.range(3), convnet, backend="ort-cuda")


def test_the_seal_is_checked_in_the_worker(table: Path, convnet: Path, tmp_path: Path) -> None:
    shared = share(convnet)
    damaged = bytearray(convnet.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    changed = type(shared)(ray.put(bytes(damaged)), shared.name, shared.sha256, shared.card)
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


def test_the_class_takes_what_share_gives_and_arrow(convnet: Path) -> None:
    with pytest.raises(UsageError, match=r"expected what ptx\.scale\.ray\.share"):
        Predict(str(convnet))  # type: ignore[arg-type]
    answerer = Predict(share(convnet), backend="ort-cpu")
    with pytest.raises(UsageError, match="batch_format='pyarrow'"):
        answerer({"bytes": []})
    empty = pa.table({"bytes": pa.array([], pa.binary())})
    assert answerer(empty).num_rows == 0


def test_a_killed_worker_costs_nothing(
    table: Path, convnet: Path, expected: pa.Table, tmp_path: Path
) -> None:
    killed: list[int] = []

    def kill(done: Any, rows: int) -> None:
        if not killed:
            killed.extend(kill_workers())

    job = Job("ort-cpu", workers=Workers(concurrency=2))
    counts = predict_files([str(table)], convnet, str(tmp_path / "out"), job, progress=kill)
    assert killed
    assert counts == (2475, 25)
    wanted = expected.select(scale.answer_schema().names).to_pylist()
    assert sorted(map(str, answers(tmp_path / "out").values())) == sorted(map(str, wanted))


def kill_workers() -> list[int]:
    """Kill the workers that predict; their process ids."""
    import signal

    found = []
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = status.read_bytes()
        except OSError:
            continue
        if line.startswith(b"ray::MapWorker(Map(PredictPart))") and os.getpgid(
            int(status.parent.name)
        ):
            found.append(int(status.parent.name))
    mine = [pid for pid in found if _is_below(pid, os.getpid())]
    for pid in mine:
        os.kill(pid, signal.SIGKILL)
    return mine


def _is_below(pid: int, ancestor: int) -> bool:
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            text = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            return False
        pid = int(text.rpartition(")")[2].split()[1])
    return False
