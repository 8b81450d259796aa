"""A second opinion: tract, a runtime of ONNX by other authors, gives the golden answers of our files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ptx.export import TrainedModel, embed_preprocessing, export, quantize_weights, read_model
from ptx.infer import read_artifact
from ptx.models import CATALOG

tract = pytest.importorskip("tract", reason="tract is not installed (extra dev)")

Artifact = Callable[[str, str], Path]
Checkpoint = Callable[[str], Path]
Form = Callable[[TrainedModel], TrainedModel]

FORMS: dict[str, Form] = {
    "float16 weights": lambda trained: quantize_weights(trained, "float16"),
    "int8 weights and pixels": lambda trained: embed_preprocessing(
        quantize_weights(trained, "int8")
    ),
}


@pytest.mark.parametrize("model", CATALOG)
def test_tract_gives_the_golden_answers(model: str, artifact: Artifact) -> None:
    check_golden(artifact(model, "onnx"))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("model", ["convnet", "lstm"])
def test_tract_gives_the_golden_answers_of_a_form(
    model: str, form: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    trained = FORMS[form](read_model(checkpoint(model)))
    check_golden(export(trained, "onnx", tmp_path / "model.onnx").path)


def check_golden(path: Path) -> None:
    runnable = tract.onnx().load(str(path)).into_model().into_runnable()
    manifest = read_artifact(path).require_manifest()
    assert manifest.golden
    for sample in manifest.golden:
        outputs = runnable.run([sample.inputs[spec.name] for spec in manifest.signature.inputs])
        for spec, output in zip(manifest.signature.outputs, outputs, strict=True):
            off = np.abs(output.to_numpy() - sample.outputs[spec.name])
            assert (off <= sample.columns.get(spec.name, sample.tolerance[spec.name])).all()
