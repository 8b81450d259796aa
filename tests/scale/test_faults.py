"""Workers, nodes and the driver are killed: no row is lost, doubled or wrong.

`scripts/test --scale` runs it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from ray.cluster_utils import Cluster

from ptx import infer, scale
from ptx.scale import ray_files
from ptx.scale.ray import Workers
from ptx.scale.ray_files import PredictionJob, predict_files

pytestmark = [
    pytest.mark.skipif("PTX_SCALE" not in os.environ, reason="scripts/test --scale runs it"),
    pytest.mark.filterwarnings("default"),  # Ray's own
]

COUNT, BLOCK = 30_000, 500  # rows of the table and of a block
NODE: dict[str, Any] = {"num_cpus": 2, "object_store_memory": 80 * 2**20}
JOB = PredictionJob("ort-cpu", workers=Workers(concurrency=2))


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    cluster.add_node(**NODE)
    ray.init(address=cluster.address, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield cluster
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(__file__).parents[1] / "pictures"
    pictures = [one.read_bytes() for one in sorted(folder.glob("mnist-*.png"))]
    rows = [
        b"bad" if index % 100 == 7 else pictures[index % len(pictures)] for index in range(COUNT)
    ]
    path = tmp_path_factory.mktemp("table") / "digits.parquet"
    pq.write_table(pa.table({"id": range(COUNT), "bytes": rows}), path)
    return path


@pytest.fixture(scope="module")
def expected(table: Path, convnet: Path) -> list[dict[str, Any]]:
    with infer.load(convnet, backend="ort-cpu", threads=1) as predictor:
        (records,) = pq.read_table(table).combine_chunks().to_batches()
        predicted = scale.batch(records, predictor)
    rows: list[dict[str, Any]] = predicted.drop_columns(["bytes"]).to_pylist()
    return rows


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_files, "BLOCK_ROWS", BLOCK)


def check(folder: Path, expected: list[dict[str, Any]]) -> None:
    rows = sorted(pq.read_table(folder).to_pylist(), key=lambda row: row["id"])
    names = {row.pop("input") for row in rows}
    assert len(names) == len(rows) == COUNT
    assert rows == expected


def worker_pids() -> list[int]:
    """The processes that predict."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"_PredictRows" in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def once_files_exist(folder: Path, count: int, act: Callable[[], None]) -> threading.Thread:
    def watch() -> None:
        limit = time.monotonic() + 120
        while len(list(folder.glob("*.parquet"))) < count and time.monotonic() < limit:
            time.sleep(0.02)
        act()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def kill_worker() -> None:
    os.kill(worker_pids()[0], signal.SIGKILL)


@pytest.mark.parametrize("after", [1, 10])
def test_a_killed_worker(
    cluster: Cluster, table: Path, convnet: Path, expected: Any, tmp_path: Path, after: int
) -> None:
    watch = once_files_exist(tmp_path / "out", after, kill_worker)
    counts = predict_files([str(table)], convnet, str(tmp_path / "out"), JOB)
    watch.join()
    assert counts == (COUNT - COUNT // 100, COUNT // 100)
    check(tmp_path / "out", expected)


PROGRAM = """
import sys
import ray
from ptx.scale import ray_files
from ptx.scale.ray import Workers
address, table, model, output, block = sys.argv[1:]
ray_files.BLOCK_ROWS = int(block)
ray.init(address=address, log_to_driver=False)
job = ray_files.PredictionJob("ort-cpu", workers=Workers(concurrency=2))
ray_files.predict_files([table], model, output, job)
"""


def test_a_killed_driver(
    cluster: Cluster, table: Path, convnet: Path, expected: Any, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    given = [cluster.address, str(table), str(convnet), str(output), str(BLOCK)]
    with subprocess.Popen([sys.executable, "-c", PROGRAM, *given]) as driver:
        once_files_exist(output, 3, driver.kill).join()
    limit = time.monotonic() + 60
    while worker_pids() and time.monotonic() < limit:
        time.sleep(0.2)
    files = {path: path.stat().st_mtime_ns for path in output.glob("*.parquet")}
    assert 3 <= len(files) < COUNT // BLOCK
    predict_files([str(table)], convnet, str(output), JOB, resume=True)
    unchanged = [
        path
        for path, before in files.items()
        if path.exists() and path.stat().st_mtime_ns == before
    ]
    assert len(unchanged) >= 3
    check(output, expected)


def test_a_killed_node_which_is_the_last_fault_of_this_cluster(
    cluster: Cluster, table: Path, convnet: Path, expected: Any, tmp_path: Path
) -> None:
    node = cluster.add_node(**NODE)
    watch = once_files_exist(
        tmp_path / "out", 3, lambda: cluster.remove_node(node, allow_graceful=False)
    )
    job = PredictionJob("ort-cpu", workers=Workers(concurrency=4))
    predict_files([str(table)], convnet, str(tmp_path / "out"), job)
    watch.join()
    check(tmp_path / "out", expected)
