"""Rows of a large table on Ray: seconds of entire processes, with their start."""

from __future__ import annotations

import io
import secrets
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pairing import Goal, Pair, process
from PIL import Image
from setting import PTX, Setting, naive, program, whole

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # of both sides
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
}


def ray_data(setting: Setting) -> Iterator[Pair]:
    """Both ways of ptx on Ray Data, paired with Ray's own recipe, on one and on two workers."""
    table, model = _digits_table(setting), setting.model("convnet", ".onnx")
    output = setting.folder / "scale-output"
    on_ray = [PTX, "predict", table, "--model", model, "--backend", "ort-cpu", "--on", "ray"]
    timed = partial(_process, output)
    rows = f"{setting.effort.rows:,} rows of Parquet"
    for workers in (1, 2):
        arguments = [table, model, output, workers]
        for name, command in (
            ("ptx predict --on ray", [*on_ray, "--concurrency", workers, "--output", output]),
            ("ptx.scale.ray.predict", program("ray_pipeline", *arguments)),
        ):
            yield Pair(
                f"{rows}, `{name}`, {workers} worker{'s' * (workers > 1)}",
                "Ray's documented way",
                timed(command),
                timed(naive("ray_documented", *arguments)),
                setting.effort.long_rounds,
                Goal(1.0),
            )


def _process(output: Path, command: Sequence[object]) -> Callable[[], float]:
    """An entire process, whose output is thrown away before the next."""
    run = process(command, **_ENVIRONMENT)

    def once() -> float:
        shutil.rmtree(output, ignore_errors=True)
        output.unlink(missing_ok=True)
        return run()

    return once


def _digits_table(setting: Setting) -> Path:
    """A folder with one Parquet file with a column `bytes` of PNG; made once, kept."""
    folder = setting.folder / f"digits-table-{setting.effort.rows}"
    if not folder.exists():
        table = pa.table({"bytes": list(islice(_encoded(setting), setting.effort.rows))})
        with whole(folder) as part:
            pq.write_table(table, part / "digits.parquet", row_group_size=10_000)
    return folder


def _encoded(setting: Setting) -> Iterator[bytes]:
    """MNIST, training and test: 70,000 images."""
    data = setting.data()
    for part in (data.train, data.test):
        for pixels in part.inputs["image"]:
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            yield stream.getvalue()
