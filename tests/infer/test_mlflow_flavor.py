"""Artifacts as models of MLflow: logged into a local folder, loaded and predicted with."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ptx.infer import ArtifactError, InputError, load
from ptx.infer.mlflow_flavor import log_model

mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
pytest.importorskip("mlflow.pyfunc")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "mlflow.md"
Export = Callable[[str, str], Path]
# Its advice about examples and type hints, and of its libraries about each other.
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A run whose models are in a folder; nothing of MLflow uses the network."""
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.chdir(tmp_path)
    mlflow.set_tracking_uri((tmp_path / "tracking").as_uri())
    with mlflow.start_run() as active:
        yield active


def logged(path: Path, **options: Any) -> Any:
    return mlflow.pyfunc.load_model(log_model(path, name="model", **options).model_uri)


def test_images_are_predicted_from_paths_and_bytes_as_ptx_predicts_them(
    artifact: Export, seven: Path
) -> None:
    import pandas as pd

    path = artifact("convnet", "onnx")
    model = logged(path, backend="ort-cpu")
    with load(path, backend="ort-cpu") as predictor:
        expected = predictor.predict(seven)
    inputs = [
        [str(seven), str(seven)],
        [seven.read_bytes()],
        pd.DataFrame({"file": [str(seven)]}),
        pd.DataFrame({"image": [seven.read_bytes()]}),
        np.array([str(seven)]),
        str(seven),
    ]
    for value in inputs:
        table = model.predict(value)
        assert list(table.columns) == ["label", "score", "low_confidence"]
        assert set(table.label) == {expected.label}
        assert set(table.score) == {expected.score}
        assert set(table.low_confidence) == {expected.low_confidence}
    assert len(model.predict(inputs[0])) == 2
    with pytest.raises(InputError):
        model.predict(["no-such-file.png"])


def test_a_table_is_predicted_by_the_names_of_its_columns(artifact: Export) -> None:
    import pandas as pd

    path = artifact("diabetes", "onnx")
    model = logged(path, backend="ort-cpu")
    with load(path, backend="ort-cpu") as predictor:
        names = predictor.preprocessing.feature_names
        rows = [[float(n + 1) for n in range(len(names))], [1.0] * len(names)]
        expected = [one.label for one in predictor.predict_many(rows)]
    table = pd.DataFrame(rows, columns=names)
    table["other"] = "text"
    shuffled = table[list(reversed(table.columns))]
    for one in (table, shuffled, table.astype(dict.fromkeys(names, "int64"))):
        assert list(model.predict(one).label) == expected
    table.iloc[0, 0] = np.nan
    with pytest.raises(InputError):
        model.predict(table)
    with pytest.raises(Exception, match=names[0]):
        model.predict(table.drop(columns=names[0]))


def test_a_text_and_a_number_are_predicted(artifact: Export) -> None:
    import pandas as pd

    names = logged(artifact("name-classifier", "onnx"), backend="ort-cpu")
    assert len(names.predict(["Satoshi", "Ivanov"])) == 2
    line = logged(artifact("linear-model", "onnx"), backend="ort-cpu")
    with load(artifact("linear-model", "onnx"), backend="ort-cpu") as predictor:
        expected = predictor.predict(4.0).value
    (title,) = [one.name for one in line.metadata.signature.inputs]
    assert list(line.predict(pd.DataFrame({title: [4]})).value) == [expected]


class Colours(torch.nn.Module):
    """Of red, green and blue: the logits of the pixels, the mean, or the picture as one box."""

    def __init__(self, task: str) -> None:
        super().__init__()
        self.task = task

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self.task == "segmentation":
            return 2 * image
        mean = image.mean((2, 3))
        if self.task == "embedding":
            return mean
        corners = torch.cat([0 * mean[:, :2], 0 * mean[:, :2] + 1], 1)
        return torch.cat([corners, mean], 1)[:, None]


@pytest.mark.parametrize(
    ("task", "axes"), [("segmentation", [3, 8, 8]), ("embedding", [3]), ("boxes", [1, 7])]
)
def test_predictions_that_are_arrays_are_those_of_ptx(
    task: str, axes: list[int], tmp_path: Path
) -> None:
    from PIL import Image

    from ptx.export import export

    spec: dict[str, Any] = {
        "task": task,
        "labels": [] if task == "embedding" else ["red", "green", "blue"],
        "preprocessing": {"kind": "rgb-image", "resize": 8, "size": [8, 8]},
        "signature": {
            "inputs": {"image": ["float32", ["batch", 3, 8, 8]]},
            "outputs": {"result": ["float32", ["batch", *axes]]},
        },
    }
    if task == "boxes":
        spec["boxes"] = {"format": "xyxy", "units": "fraction", "scores": "probability"}
    path, picture = tmp_path / "net.onnx", str(tmp_path / "green.png")
    export(Colours(task), "onnx", path, **spec)
    Image.new("RGB", (8, 8), "lime").save(picture)
    answer = logged(path, backend="ort-cpu").predict([picture, picture])
    with load(path, backend="ort-cpu") as predictor:
        expected = predictor.predict(picture)
    assert len(answer) == 2
    if task == "boxes":
        assert json.loads(answer.boxes[1]) == expected.to_data()["boxes"] != []
    else:
        array = expected.vector if task == "embedding" else expected.class_map
        assert array is not None
        assert answer.dtype == array.dtype
        assert np.array_equal(answer[1], array)


def test_arrays_go_to_the_network_and_its_outputs_come_back(artifact: Export) -> None:
    path = artifact("convnet", "onnx")
    model = logged(path, backend="ort-cpu", arrays=True)
    images = np.random.default_rng(0).random((3, 1, 28, 28), np.float32)
    with load(path, backend="ort-cpu") as predictor:
        (name,) = (spec.name for spec in predictor.signature.inputs)
        expected = predictor.run({name: images})
    for value in (images, {name: images}):
        outputs = model.predict(value)
        assert outputs.keys() == expected.keys()
        assert all(np.array_equal(outputs[key], expected[key]) for key in expected)
    with pytest.raises(Exception, match="float64"):
        model.predict(images.astype(np.float64))


def test_the_signature_is_that_of_the_manifest(artifact: Export) -> None:
    signature = logged(artifact("convnet", "onnx"), arrays=True).metadata.signature
    (taken,), (given,) = signature.inputs.inputs, signature.outputs.inputs
    assert (taken.type, taken.shape) == (np.dtype("float32"), (-1, 1, 28, 28))
    assert (given.type, given.shape) == (np.dtype("float32"), (-1, 10))


def test_the_requirements_are_those_of_the_format(artifact: Export, tmp_path: Path) -> None:
    torch_version = torch.__version__.partition("+")[0]
    for kind, required in (
        ("onnx", ["ptx-toolkit[cpu]=="]),
        ("pt2", ["ptx-toolkit==", f"torch=={torch_version}"]),
    ):
        info = log_model(artifact("linear-model", kind), name=kind)
        folder = Path(mlflow.artifacts.download_artifacts(info.model_uri))
        lines = (folder / "requirements.txt").read_text().splitlines()
        assert all(any(line.startswith(one) for line in lines) for one in required)
        assert any(line.startswith("torch") for line in lines) == (kind == "pt2")


def test_a_program_runs_only_when_it_is_trusted(artifact: Export) -> None:
    info = log_model(artifact("linear-model", "torchscript"), name="model")
    with pytest.raises(ArtifactError) as caught:
        mlflow.pyfunc.load_model(info.model_uri)
    assert caught.value.code == "E-TRUST"
    mlflow.pyfunc.load_model(info.model_uri, model_config={"trust": True})


def test_what_cannot_be_logged_is_refused(
    checkpoint: Callable[[str], Path], artifact: Export, tmp_path: Path
) -> None:
    with pytest.raises(ArtifactError) as caught:
        log_model(checkpoint("linear-model"), name="model")
    assert caught.value.code == "E-ARTIFACT-FORMAT"
    changed = tmp_path / "a.onnx"
    changed.write_bytes(artifact("linear-model", "onnx").read_bytes().replace(b"pytorch", b"x" * 7))
    with pytest.raises(ArtifactError) as caught:
        log_model(changed, name="model")
    assert caught.value.code == "E-HASH"


def test_the_program_of_the_page_works(artifact: Export, seven: Path, tmp_path: Path) -> None:
    shutil.copy(artifact("convnet", "onnx"), tmp_path / "convnet.onnx")
    shutil.copy(seven, tmp_path / "digit.png")
    (program,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    mlflow.end_run()  # the page starts its own
    values: dict[str, Any] = {}
    exec(program, values)
    assert len(values["table"]) == 1


def test_an_onnx_file_is_loaded_and_predicted_without_torch(
    artifact: Export, child: Any, seven: Path
) -> None:
    info = log_model(artifact("convnet", "onnx"), name="model")
    folder = mlflow.artifacts.download_artifacts(info.model_uri)
    done = child(
        "import sys, warnings\nwarnings.simplefilter('ignore')\n"
        "for name in ('torch', 'torchvision', 'onnx', 'ptx.models'):\n    sys.modules[name] = None\n"
        "import mlflow.pyfunc\n"
        "print(mlflow.pyfunc.load_model(sys.argv[1]).predict([sys.argv[2]]).columns.tolist())",
        folder,
        seven,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1] == "['label', 'score', 'low_confidence']"
