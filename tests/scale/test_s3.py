"""A bucket of a real S3 server on loopback: `scripts/test --scale` installs it, as PTX_S3_SERVER."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs

from ptx import infer, scale
from ptx.scale.ray_files import _find_filesystem

SERVER = shutil.which(os.environ.get("PTX_S3_SERVER", ""))

pictures = [
    path.read_bytes()
    for path in sorted((Path(__file__).parents[1] / "pictures").glob("mnist-*.png"))
]


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """The variables that lead to a server with a bucket `digits`: pictures, and a table of them."""
    if SERVER is None:
        pytest.skip("PTX_S3_SERVER names no moto_server, which scripts/test --scale installs")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    said = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "some",
        "AWS_SECRET_ACCESS_KEY": "one",
    }
    store = fs.S3FileSystem(
        access_key="some",
        secret_key="one",
        region="us-east-1",
        endpoint_override=f"127.0.0.1:{port}",
        scheme="http",
        allow_bucket_creation=True,
    )
    with subprocess.Popen(
        [SERVER, "-H", "127.0.0.1", "-p", str(port)],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as server:
        try:
            _wait(port)
            _fill(store)
            yield said
        finally:
            server.terminate()


def _wait(port: int) -> None:
    limit = time.monotonic() + 60
    while time.monotonic() < limit:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("the S3 server does not answer")


def _fill(store: fs.S3FileSystem) -> None:
    store.create_dir("digits/in")
    for index, data in enumerate([*pictures, b"bad"]):
        with store.open_output_stream(f"digits/in/{index:02}.png") as stream:
            stream.write(data)
    table = pa.table({"bytes": [*pictures, b"bad"]})
    pq.write_table(table, "digits/table.parquet", filesystem=store)


def read(said: dict[str, str], folder: str) -> dict[str, Any]:
    """What a folder of the bucket holds, by input, and when each part was written."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in said.items():
            patch.setenv(name, value)
        system, path, _ = _find_filesystem(folder)
        rows = pq.read_table(path, filesystem=system).to_pylist()
        parts = system.get_file_info(fs.FileSelector(path))
    found = {row.pop("input"): row for row in rows}
    assert len(found) == len(rows)
    return found | {
        "parts": {one.base_name: one.mtime for one in parts if one.base_name.endswith(".parquet")}
    }


@pytest.mark.parametrize(
    ("given", "name"), [("in/", "s3://digits/in/{:02}.png"), ("table.parquet", None)]
)
def test_a_bucket_is_answered_into_a_bucket_and_not_twice(
    bucket: dict[str, str], convnet: Path, given: str, name: str | None
) -> None:
    output = f"s3://digits/out-{given.strip('/')}"
    command = [
        sys.executable,
        "-m",
        "ptx.cli",
        "predict",
        f"s3://digits/{given}",
        "--model",
        str(convnet),
    ]
    command += ["--backend", "ort-cpu", "--on", "ray", "--num-cpus", "0.5", "--output", output]
    environment = {**os.environ, **bucket}
    seen = []
    for resume in ([], ["--resume"]):
        done = subprocess.run(
            [*command, *resume], env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 4, done.stderr
        seen.append(read(bucket, output))
    assert seen[0] == seen[1]
    parts = seen[0].pop("parts")
    assert parts
    records = pa.RecordBatch.from_pydict({"bytes": [*pictures, b"bad"]})
    with infer.load(convnet, backend="ort-cpu", threads=1) as predictor:
        rows = scale.batch(records, predictor).select(scale.prediction_schema().names).to_pylist()
    if name is None:  # the rows of a table are named by a hash
        assert sorted(map(str, seen[0].values())) == sorted(map(str, rows))
    else:
        assert seen[0] == {name.format(index): row for index, row in enumerate(rows)}


@pytest.mark.parametrize(
    ("uri", "kind"),
    [("gs://bucket/a", "gcs"), ("abfs://container@account.dfs.core.windows.net/a", "abfs")],
)
def test_other_stores_are_known_by_name(uri: str, kind: str) -> None:
    system, *_ = _find_filesystem(uri)
    assert system.type_name == kind
