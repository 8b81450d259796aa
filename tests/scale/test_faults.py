"""What goes wrong on three nodes: no row is lost, doubled or wrong. `scripts/test --scale` runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from pyarrow import fs
from ray.cluster_utils import Cluster
from scale_faults import CRASH, MEMORY, BrokenShared, Failing

from ptx import infer, scale
from ptx.infer.errors import OutputError
from ptx.scale import parts as planning
from ptx.scale.job import Job, predict_files
from ptx.scale.ray import Shared, Workers, predict, share

pytestmark = [
    pytest.mark.skipif("PTX_SCALE" not in os.environ, reason="scripts/test --scale runs it"),
    pytest.mark.filterwarnings("default"),  # Ray's own
]

COUNT, ROWS = 1500, 100  # rows of the table, and of a part
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20}
Fault = Callable[[Any, int], None]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    marker = tmp_path_factory.mktemp("marker") / "ended"
    os.environ["PTX_TEST_MARKER"] = str(marker)
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)
    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    cluster.add_node(**NODE)
    cluster.add_node(**NODE)
    ray.init(address=cluster.address, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield cluster
    ray.shutdown()
    cluster.shutdown()  # type: ignore[no-untyped-call]


def make_table(path: Path, odd: dict[int, bytes]) -> Path:
    folder = Path(__file__).parents[1] / "pictures"
    pictures = [one.read_bytes() for one in sorted(folder.glob("mnist-*.png"))]
    rows = [
        odd.get(index) or (b"bad" if index % 100 == 7 else pictures[index % len(pictures)])
        for index in range(COUNT)
    ]
    pq.write_table(pa.table({"bytes": rows}), path)
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_table(tmp_path_factory.mktemp("table") / "digits.parquet", {})


@pytest.fixture(scope="module")
def answer(convnet: Path) -> Iterator[Callable[[Path], dict[str, Any]]]:
    """`answer(table)`: what one machine says of each row."""
    with infer.load(convnet, backend="ort-cpu", threads=1) as predictor:

        def make(path: Path) -> dict[str, Any]:
            (records,) = pq.read_table(path).combine_chunks().to_batches()
            rows = scale.batch(records, predictor).select(scale.answer_schema().names).to_pylist()
            return {f"{path}[{index}]": row for index, row in enumerate(rows)}

        yield make


@pytest.fixture
def run(
    cluster: Cluster, convnet: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, int]]:
    """`run(table, fault)`: the job; `fault` is called with each part that is done."""
    monkeypatch.setattr(planning, "part_rows", lambda total, preprocessing: ROWS)
    Path(os.environ["PTX_TEST_MARKER"]).unlink(missing_ok=True)
    monkeypatch.setattr(planning, "SLICES", COUNT)

    def start(table: Path, fault: Fault | None = None, **options: Any) -> tuple[int, int]:
        known = vars(share(convnet))
        job = Job("ort-cpu", workers=Workers(concurrency=options.pop("workers", 2)))
        output = str(tmp_path / "out")
        return predict_files(
            [str(table)], BrokenShared(**known), output, job, progress=fault, **options
        )

    return start


def check(folder: Path, expected: dict[str, Any]) -> None:
    """Rows lost 0, doubled 0, wrong 0; nothing else is left there."""
    rows = pq.read_table(folder).to_pylist()
    names = [row.pop("input") for row in rows]
    found = dict(zip(names, rows, strict=True))
    doubled, lost = len(names) - len(found), len(expected.keys() - found.keys())
    wrong = sum(found[name] != expected[name] for name in found.keys() & expected.keys())
    assert (lost, doubled, wrong, len(names)) == (0, 0, 0, COUNT)
    assert not [path.name for path in folder.iterdir() if not path.name.startswith("part-")]


def workers() -> list[int]:
    """The processes that predict."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if path.read_bytes().startswith(b"ray::MapWorker(Map(PredictPart))"):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return [pid for pid in found if os.environ["PTX_TEST_MARKER"].encode() in _environment(pid)]


def _environment(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def killing(after: int, count: int = 1) -> Fault:
    """Kill so many workers once so many parts are done."""
    seen: list[Any] = []

    def fault(done: Any, rows: int) -> None:
        seen.append(done)
        if len(seen) == after:
            chosen = workers()[:count]
            assert len(chosen) == count
            for pid in chosen:
                os.kill(pid, signal.SIGKILL)

    return fault


def test_bad_rows_alone(run: Any, table: Path, answer: Any, tmp_path: Path) -> None:
    """One in a hundred; what the others cost is told from it (`--durations 0`)."""
    assert run(table) == (COUNT - 15, 15)
    check(tmp_path / "out", answer(table))


@pytest.mark.parametrize(("after", "count"), [(1, 1), (5, 1), (12, 1), (3, 2)])
def test_killed_workers(
    run: Any, table: Path, answer: Any, tmp_path: Path, after: int, count: int
) -> None:
    assert run(table, killing(after, count)) == (COUNT - 15, 15)
    check(tmp_path / "out", answer(table))


def test_a_killed_node(
    run: Any, cluster: Cluster, table: Path, answer: Any, tmp_path: Path
) -> None:
    node = cluster.add_node(**NODE)
    seen: list[Any] = []

    def fault(done: Any, rows: int) -> None:
        seen.append(done)
        if len(seen) == 2:
            cluster.remove_node(node, allow_graceful=False)

    assert run(table, fault, workers=4) == (COUNT - 15, 15)
    check(tmp_path / "out", answer(table))


PROGRAM = """
import json, os, sys
import ray
from scale_faults import BrokenShared
from ptx.scale import parts as planning
from ptx.scale.job import Job, predict_files
from ptx.scale.ray import Workers, share
address, table, model, output = sys.argv[1:]
planning.part_rows = lambda total, preprocessing: 100
planning.SLICES = 1500
ray.init(address=address, log_to_driver=False)
shared = BrokenShared(**vars(share(model)))
def tell(done, rows):
    print("part", flush=True)
predict_files([table], shared, output, Job("ort-cpu", workers=Workers(concurrency=2)), progress=tell)
"""


def test_a_killed_driver(
    run: Any, cluster: Cluster, table: Path, convnet: Path, answer: Any, tmp_path: Path
) -> None:
    given = [cluster.address, str(table), str(convnet), str(tmp_path / "out")]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *given], stdout=subprocess.PIPE
    ) as driver:
        assert driver.stdout is not None
        for _ in range(3):
            assert driver.stdout.readline() == b"part\n"
        driver.kill()
    limit = time.monotonic() + 30
    while workers() and time.monotonic() < limit:
        time.sleep(0.2)
    there = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("part-*")}
    assert 3 <= len(there) < COUNT // ROWS
    assert run(table) == (COUNT - 15, 15)
    assert all(path.stat().st_mtime_ns == before for path, before in there.items())
    check(tmp_path / "out", answer(table))


@pytest.mark.parametrize("odd", [{250: CRASH}, {0: CRASH, 1: CRASH, 1499: CRASH}])
def test_a_row_that_ends_the_process(
    run: Any, answer: Any, tmp_path: Path, odd: dict[int, bytes]
) -> None:
    table = make_table(tmp_path / "t.parquet", odd)
    run(table)
    expected = answer(table)
    rows = {row.pop("input"): row for row in pq.read_table(tmp_path / "out").to_pylist()}
    for index in odd:
        name = f"{table}[{index}]"
        assert rows.pop(name)["error"].startswith(
            "[E-IN-CRASH] the process that reads it ends with"
        )
        del expected[name]
    assert rows == expected


def test_a_row_that_ends_the_process_in_a_pipeline(
    cluster: Cluster, convnet: Path, answer: Any, tmp_path: Path
) -> None:
    table = make_table(tmp_path / "t.parquet", {250: CRASH})
    shared = BrokenShared(**vars(share(convnet)))
    answered = predict(ray.data.read_parquet(str(table)), shared, backend="ort-cpu")
    rows = answered.drop_columns(["bytes"]).take_all()
    expected = list(answer(table).values())
    assert rows[250]["error"].startswith("[E-IN-CRASH] the process that reads it ends with")
    del rows[250], expected[250]
    assert rows == expected


def test_a_worker_that_runs_out_of_memory(run: Any, answer: Any, tmp_path: Path) -> None:
    table = make_table(tmp_path / "t.parquet", {700: MEMORY})
    run(table)
    check(tmp_path / "out", answer(table))


def test_a_store_that_fails_each_fifth_read(
    run: Any, table: Path, answer: Any, tmp_path: Path
) -> None:
    assert run(table, filesystem=fs.PyFileSystem(Failing(reads=5))) == (COUNT - 15, 15)
    check(tmp_path / "out", answer(table))


def test_an_output_folder_that_fills_up(run: Any, table: Path, answer: Any, tmp_path: Path) -> None:
    with pytest.raises(OutputError) as caught:
        run(table, filesystem=fs.PyFileSystem(Failing(writes=4)))
    assert caught.value.code == "E-OUT-SPACE"
    assert 0 < len(list((tmp_path / "out").glob("part-*"))) < COUNT // ROWS
    assert run(table) == (COUNT - 15, 15)
    check(tmp_path / "out", answer(table))


def test_a_model_file_that_changes(
    run: Any, table: Path, convnet: Path, answer: Any, tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    model.write_bytes(convnet.read_bytes())
    shared: Shared = share(model)

    def fault(done: Any, rows: int) -> None:
        model.write_bytes(b"another file")

    predict_files([str(table)], shared, str(tmp_path / "out"), Job("ort-cpu"), progress=fault)
    check(tmp_path / "out", answer(table))


def test_half_a_part_of_a_killed_worker(run: Any, table: Path, answer: Any, tmp_path: Path) -> None:
    run(table)
    (part, *_) = sorted((tmp_path / "out").glob("part-*"))
    part.rename(part.with_name(f".{part.name}.beef.tmp"))
    assert run(table) == (COUNT - 15, 15)
    check(tmp_path / "out", answer(table))
