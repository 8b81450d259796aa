"""Log an artifact to MLflow, and predict with `mlflow.pyfunc`. Needs the extra `mlflow`.

>>> from ptx.infer.mlflow_flavor import log_model
>>> info = log_model("runs/convnet/convnet.onnx", name="digits")
>>> mlflow.pyfunc.load_model(info.model_uri).predict(["digit.png"])
  label     score  low_confidence
0     7  0.999982           False

The model's signature and requirements come from the manifest. An ONNX file needs no torch where it is
loaded.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ptx.infer.artifact.artifact import Artifact, read_artifact
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.errors import ArtifactError, BackendError, install_hint
from ptx.infer.loading import load
from ptx.infer.prediction import Prediction
from ptx.infer.predictor import Predictor
from ptx.infer.preprocessing import open_preprocessing
from ptx.infer.raw_input import raw_input_name
from ptx.infer.signature import TensorSpec
from ptx.infer.tasks import find_task

if TYPE_CHECKING:
    from mlflow.models.model import ModelInfo
    from mlflow.models.signature import ModelSignature

_SETTINGS = "settings.json"  # next to the artifact; no artifact has this name


def log_model(
    path: str | Path,
    *,
    name: str,
    backend: str = "auto",
    arrays: bool = False,
    **options: Any,
) -> ModelInfo:
    """Log an artifact to the active run of MLflow; starts a run if there is none.

    `mlflow.pyfunc.load_model(info.model_uri).predict(inputs)` takes a list or a column of images (paths,
    or files as bytes) or of texts, a DataFrame with the columns of the model, or the array of a model
    without preprocessing. It returns a DataFrame with the columns `label`, `score` and `low_confidence`,
    or `value`, or `boxes` (JSON); for an embedding float32 (rows, size), for a segmentation integers
    (rows, height, width). An input that cannot be used is an error.

    Args:
        path: An artifact with a manifest.
        name: The name of the model in the run.
        backend: As in `ptx.infer.load`. `mlflow.pyfunc.load_model(uri, model_config={"backend": …})`
            overrides it, and `{"trust": True}` allows a program, such as a `.pt2` file, to run.
        arrays: Take the input arrays of the network instead, in a dict by name, and return its output
            arrays in a dict. A model with several inputs, or with the task `passthrough`, always does.
        options: Passed to `mlflow.pyfunc.log_model`: `registered_model_name`, `metadata`, `tags` and
            others.

    Returns:
        The information that MLflow has about the model, with its `model_uri`.

    Raises:
        ArtifactError: the file cannot be read, is a checkpoint, has no manifest or has changed.
        BackendError: MLflow is not installed.
    """
    try:
        import mlflow.pyfunc
    except ModuleNotFoundError as error:
        raise BackendError(f"{error.name} is not installed: {install_hint('mlflow')}") from error
    artifact = read_artifact(path)
    manifest = artifact.require_manifest()
    if artifact.kind == CHECKPOINT:
        raise ArtifactError(
            f"{artifact.name} is a checkpoint; expected an exported file: `ptx export {manifest.model}`",
            code="E-ARTIFACT-FORMAT",
        )
    arrays = arrays or not _decodes(manifest)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "artifact"
        data.mkdir()
        shutil.copy(artifact.path, data / artifact.path.name)
        # Not in model_config, which MLflow shows as parameters of the run.
        settings = {"file": artifact.path.name, "arrays": arrays}
        (data / _SETTINGS).write_text(json.dumps(settings), "utf-8")
        return mlflow.pyfunc.log_model(
            name=name,
            loader_module=__name__,
            data_path=str(data),
            model_config={"backend": backend, "trust": False},
            signature=_model_signature(manifest, arrays),
            pip_requirements=_requirements(artifact, manifest),
            **options,
        )


def _load_pyfunc(data_path: str, model_config: Mapping[str, Any]) -> PyfuncPredictor:
    """Called by `mlflow.pyfunc.load_model`."""
    settings = json.loads((Path(data_path) / _SETTINGS).read_text("utf-8"))
    predictor = load(
        Path(data_path) / settings["file"],
        backend=model_config["backend"],
        trust=model_config["trust"] is True,
    )
    return PyfuncPredictor(predictor, arrays=settings["arrays"])


class PyfuncPredictor:
    """What `mlflow.pyfunc` calls.

    Attributes:
        predictor: Of ptx.
    """

    def __init__(self, predictor: Predictor, *, arrays: bool) -> None:
        self.predictor = predictor
        self._arrays = arrays

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """The predictions for a DataFrame, an array, or a dict of arrays: see `log_model`.

        Raises:
            InputError: an input cannot be used.
        """
        if self._arrays:
            return self.predictor.run(self._input_arrays(model_input))
        return _to_columns(list(self.predictor.predict_many(self._values(model_input))))

    def _input_arrays(self, model_input: Any) -> dict[str, Any]:
        if isinstance(model_input, Mapping):
            return dict(model_input)
        (spec,) = self.predictor.signature.inputs
        return {spec.name: model_input}

    def _values(self, model_input: Any) -> Iterable[Any]:
        """The raw inputs, one for each prediction."""
        import pandas as pd

        names = list(self.predictor.preprocessing.feature_names)
        if isinstance(model_input, Mapping):  # of one array or one column
            (model_input,) = model_input.values()
        if not isinstance(model_input, pd.DataFrame):
            return list(model_input)
        if names:
            return list(model_input[names].itertuples(index=False, name=None))
        column: list[Any] = model_input.iloc[:, 0].tolist()
        return column


def _to_columns(predictions: list[Prediction]) -> Any:
    import pandas as pd

    first = predictions[0] if predictions else None
    if first is not None and first.vector is not None:
        return np.stack([one.vector for one in predictions if one.vector is not None])
    if first is not None and first.class_map is not None:
        return np.stack([one.class_map for one in predictions if one.class_map is not None])
    if first is not None and first.boxes is not None:
        return pd.DataFrame(
            {
                "boxes": [
                    json.dumps(one.to_data()["boxes"], ensure_ascii=False) for one in predictions
                ]
            }
        )
    if first is not None and first.value is not None:
        return pd.DataFrame({"value": [one.value for one in predictions]})
    names = "label", "score", "low_confidence"
    return pd.DataFrame({name: [getattr(one, name) for one in predictions] for name in names})


def _decodes(manifest: Manifest) -> bool:
    """Whether one raw input gives one prediction."""
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    raw = raw_input_name(manifest, preprocessing) is not None
    return (raw or len(manifest.signature.inputs) == 1) and find_task(manifest.task).has_decoder


def _model_signature(manifest: Manifest, arrays: bool) -> ModelSignature:
    """The signature of MLflow."""
    from mlflow.models.signature import ModelSignature
    from mlflow.types import ColSpec, Schema
    from mlflow.types.schema import AnyType

    inputs, outputs = manifest.signature.inputs, manifest.signature.outputs
    if arrays:
        return ModelSignature(
            *(Schema([_tensor(one) for one in specs]) for specs in (inputs, outputs))
        )
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    task = find_task(manifest.task)
    if preprocessing.feature_names:
        # Not "double", for which MLflow refuses a column of integers.
        taken = [ColSpec(AnyType(), name) for name in preprocessing.feature_names]
    elif preprocessing.image_spec is not None:
        taken = [ColSpec(AnyType())]  # paths or bytes
    elif raw_input_name(manifest, preprocessing) is None:
        taken = [_tensor(inputs[0])]
    else:
        taken = [ColSpec("string")]
    if task.reads_boxes:
        given = [ColSpec("string", "boxes")]
    elif task.is_array:
        given = [_array_of(outputs[0], segmentation=bool(manifest.labels))]
    elif manifest.labels:
        given = [
            ColSpec("string", "label"),
            ColSpec("double", "score"),
            ColSpec("boolean", "low_confidence"),
        ]
    else:
        given = [ColSpec("double", "value")]
    return ModelSignature(Schema(taken), Schema(given))


def _array_of(spec: TensorSpec, *, segmentation: bool) -> Any:
    """The array of an embedding, or the class maps of a segmentation, whose logits are per label."""
    from mlflow.types import TensorSpec as MlflowTensorSpec

    labels, *pixels = spec.sample_axes
    axes = pixels if segmentation else [labels]
    many = segmentation and isinstance(labels, int) and labels > 256
    dtype = np.uint16 if many else np.uint8 if segmentation else np.float32
    return MlflowTensorSpec(np.dtype(dtype), (-1, *map(_size, axes)))


def _tensor(spec: TensorSpec) -> Any:
    from mlflow.types import TensorSpec as MlflowTensorSpec

    return MlflowTensorSpec(spec.numpy_dtype, tuple(map(_size, spec.axes)), name=spec.name)


def _size(axis: int | str) -> int:
    return axis if isinstance(axis, int) else -1


def _requirements(artifact: Artifact, manifest: Manifest) -> list[str]:
    """What `pip` installs where the model is loaded."""
    extra = {"onnx": "[cpu]", "html": "[html]"}.get(artifact.kind, "")
    torch = [] if extra else [f"torch=={manifest.versions['torch'].partition('+')[0]}"]
    return [f"ptx-toolkit{extra}=={version('ptx-toolkit')}", *torch]
