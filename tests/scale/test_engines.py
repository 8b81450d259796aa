"""The adapters of other engines, and the manifests of docs/examples."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from ptx import infer, scale
from ptx.cli.commands.predict import predict

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


@pytest.fixture(scope="module")
def records() -> pa.RecordBatch:
    folder = Path(__file__).parents[1] / "pictures"
    pictures = [path.read_bytes() for path in sorted(folder.glob("mnist-*.png"))]
    return pa.RecordBatch.from_pydict({"bytes": [*pictures[:9], b"bad"] * 3})


@pytest.fixture
def expected(records: pa.RecordBatch, convnet: Path) -> list[dict[str, Any]]:
    with infer.load(convnet, backend="ort-cpu", threads=1) as predictor:
        rows: list[dict[str, Any]] = scale.batch(records, predictor).to_pylist()
        return rows


def test_the_function_of_spark_answers_record_batches(
    records: pa.RecordBatch, convnet: Path, expected: list[dict[str, Any]]
) -> None:
    from ptx.scale.spark import make_udf

    answer = make_udf(convnet, backend="ort-cpu")
    rows = [
        row for part in answer([records.slice(0, 4), records.slice(4)]) for row in part.to_pylist()
    ]
    assert rows == expected


@pytest.mark.filterwarnings("default")
def test_spark_answers_a_frame(
    records: pa.RecordBatch, convnet: Path, expected: list[dict[str, Any]]
) -> None:
    sql = pytest.importorskip("pyspark.sql")
    if shutil.which("java") is None:
        pytest.skip("Spark needs Java")
    from ptx.scale.spark import PREDICTION_SCHEMA, make_udf

    session = sql.SparkSession.builder.master("local[1]").getOrCreate()
    frame = session.createDataFrame(records.to_pandas(), "bytes binary")
    found = frame.mapInArrow(
        make_udf(convnet, backend="ort-cpu"), f"bytes binary, {PREDICTION_SCHEMA}"
    )
    assert [row["label"] for row in found.collect()] == [row["label"] for row in expected]


@pytest.mark.filterwarnings("default")
def test_daft_answers_a_frame(
    records: pa.RecordBatch, convnet: Path, expected: list[dict[str, Any]]
) -> None:
    daft = pytest.importorskip("daft")
    from ptx.scale.daft import make_udf

    frame = daft.from_arrow(pa.Table.from_batches([records]))
    answered = frame.select(
        make_udf(convnet, backend="ort-cpu")(daft.col("bytes")).alias("prediction")
    )
    names = scale.prediction_schema().names
    assert answered.to_pydict()["prediction"] == [
        {name: row[name] for name in names} for row in expected
    ]


def test_the_manifest_of_kuberay_is_what_the_operator_takes() -> None:
    job = yaml.safe_load((EXAMPLES / "rayjob.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]["rayClusterSpec"]
    assert spec["rayVersion"] in (Path(__file__).parents[2] / "constraints.txt").read_text()
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    for group in groups:
        assert isinstance(group["rayStartParams"], dict)
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        (container,) = group["template"]["spec"]["containers"]
        assert {"name", "image", "resources"} <= container.keys()
    for group in groups[1:]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    program, verb, *arguments = job["spec"]["entrypoint"].split()
    assert (program, verb) == ("ptx", "predict")
    parsed = predict.make_context("predict", arguments).params
    assert (parsed["on"], parsed["address"]) == ("ray", "auto")


def test_the_array_of_slurm_answers_each_input_once(
    convnet: Path, seven: Path, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    for index in range(5):
        shutil.copy(seven, tmp_path / "in" / f"{index}.png")
    (tmp_path / "in" / "bad.png").write_bytes(b"")
    environment = {
        **os.environ,
        "PICTURES": "in",
        "MODEL": str(convnet),
        "SLURM_ARRAY_TASK_COUNT": "2",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for task in ("1", "2"):
        subprocess.run(
            ["bash", EXAMPLES / "array.slurm"],
            cwd=tmp_path,
            check=True,
            timeout=60,
            env={**environment, "SLURM_ARRAY_TASK_ID": task},
            capture_output=True,
        )
    lines = [
        line for path in tmp_path.glob("answers-*.jsonl") for line in path.read_text().splitlines()
    ]
    assert len({json.loads(line)["input"] for line in lines}) == len(lines) == 6
