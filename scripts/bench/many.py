"""Many pictures, in tables and as files, and a network that is slow: made once, kept."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from setting import Setting, whole

from ptx.export import export

ROWS = 70_000  # of MNIST, training and test


@dataclass(frozen=True)
class Tables:
    """Folders of Parquet files with a column `bytes` of PNG."""

    setting: Setting

    def make(self, times: int) -> Path:
        """The pictures so many times, in as many files."""
        folder = self.setting.folder / f"tables-{times}"
        if not folder.exists():
            table = pa.table({"bytes": list(_encoded(self.setting))})
            with whole(folder) as part:
                for number in range(times):
                    pq.write_table(table, part / f"{number:03}.parquet", row_group_size=10_000)
        return folder

    def some(self, rows: int) -> Path:
        """The first so many pictures, in small row groups."""
        folder = self.setting.folder / f"rows-{rows}"
        if not folder.exists():
            table = pq.read_table(self.make(1)).slice(0, rows)
            with whole(folder) as part:
                pq.write_table(table, part / "0.parquet", row_group_size=64)
        return folder


def many_files(setting: Setting) -> Path:
    """The same pictures, each a file."""
    folder = setting.folder / "digits-all"
    if not folder.exists():
        with whole(folder) as part:
            for number, data in enumerate(_encoded(setting)):
                (part / f"{number:05}.png").write_bytes(data)
    return folder


def slow_model(setting: Setting) -> Path:
    """An untrained network of 10 ms or more a picture on one processor."""
    import torch
    from torch import nn

    path = setting.folder / "slow.onnx"
    if not path.exists():
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 192, 3, padding=1), nn.ReLU()]
        for _ in range(3):
            layers += [nn.Conv2d(192, 192, 3, padding=1), nn.ReLU()]
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, 10))
        export(
            network.eval(), "onnx", path, task="classification",
            preprocessing={"kind": "image", "size": [28, 28], "fit": "digit"},
            labels=[str(digit) for digit in range(10)],
            signature={"inputs": {"image": ["float32", ["batch", 1, 28, 28]]},
                       "outputs": {"logits": ["float32", ["batch", 10]]}},
        )  # fmt: skip
    return path


def _encoded(setting: Setting) -> Iterator[bytes]:
    data = setting.data()
    for part in (data.train, data.test):
        for pixels in part.inputs["image"]:
            stream = io.BytesIO()
            Image.fromarray(pixels).save(stream, "PNG")
            yield stream.getvalue()
