"""Rows of a large table on Ray, Daft and Spark: seconds of entire processes, with their start."""

from __future__ import annotations

import io
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pairing import Goal, Missing, Pair, Pending, run_outside
from PIL import Image
from setting import PTX, Setting, naive, whole

ROWS = 70_000  # MNIST, training and test
DOCUMENTED = "Ray's documented way"
_RAY = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # of both sides
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}
# Name → what must be installed, and the program in `engines`.
_ENGINES = {
    "one process, no engine": ("numpy", "one"),
    "Daft with ptx": ("daft", "daft_udf"),
    "Spark with ptx": ("pyspark", "spark_arrow"),
}
Command = Sequence[object]  # without the output, which is its last word


def ray_data(setting: Setting, workers: int) -> Iterator[Pending]:
    """Both ways of ptx on Ray Data, paired with Ray's own recipe."""
    table = digits_table(setting)
    sides = {
        "ptx predict --on ray": _on_ray(setting, table, workers),
        "ptx.scale.ray.predict": _engine(setting, "ray_class", table),
    }
    yield from _pairs(setting, sides, workers, Goal(1.0))


def engines(setting: Setting, workers: int) -> Iterator[Pending]:
    """The other engines, paired with Ray's recipe."""
    table, sides = digits_table(setting), {}
    for name, (package, program) in _ENGINES.items():
        if find_spec(package) is None or (package == "pyspark" and shutil.which("java") is None):
            yield Missing(name, f"{package} is not installed")
        else:
            sides[name] = _engine(setting, program, table)
    yield from _pairs(setting, sides, workers)


SCALE: Mapping[str, Callable[[Setting], Iterator[Pending]]] = {
    "scale-ray-1": partial(ray_data, workers=1),
    "scale-ray-2": partial(ray_data, workers=2),
    "scale-engines": partial(engines, workers=2),
}


def digits_table(setting: Setting) -> Path:
    """A folder with one Parquet file with a column `bytes` of PNG; made once, kept."""
    folder = setting.folder / "digits-table"
    if not folder.exists():
        table = pa.table({"bytes": list(_encoded(setting))})
        with whole(folder) as part:
            pq.write_table(table, part / "digits.parquet", row_group_size=10_000)
    return folder


def _encoded(setting: Setting) -> Iterator[bytes]:
    data = setting.data()
    for part in (data.train, data.test):
        for pixels in part.inputs["image"]:
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            yield stream.getvalue()


def _pairs(
    setting: Setting, sides: Mapping[str, Command], workers: int, goal: Goal | None = None
) -> Iterator[Pending]:
    documented = _engine(setting, "ray_documented", digits_table(setting))
    for name, command in sides.items():
        yield Pair(
            f"{ROWS:,} rows of Parquet, `{name}`, {workers} worker{'s' * (workers > 1)}",
            DOCUMENTED,
            partial(_seconds, setting, command, workers),
            partial(_seconds, setting, documented, workers),
            min(3, setting.effort.long_rounds),
            goal,
        )


def _engine(setting: Setting, name: str, table: Path) -> Command:
    return [*naive(f"../engines/{name}", table, setting.model("convnet", ".onnx"))]


def _on_ray(setting: Setting, table: Path, workers: int) -> Command:
    return [
        PTX,
        "predict",
        table,
        "--model",
        setting.model("convnet", ".onnx"),
        "--backend",
        "ort-cpu",
        "--on",
        "ray",
        "--concurrency",
        workers,
        "--output",
    ]


def _seconds(setting: Setting, command: Command, workers: int) -> float:
    """Of an entire process, whose output is thrown away."""
    output = setting.folder / "scale-output"
    shutil.rmtree(output, ignore_errors=True)
    output.unlink(missing_ok=True)
    counted = [] if command[0] == PTX else [workers]
    started = time.perf_counter()
    run_outside([str(word) for word in (*command, output.resolve(), *counted)], **_RAY)
    return time.perf_counter() - started
