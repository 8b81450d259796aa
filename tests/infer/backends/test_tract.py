"""A second opinion: tract, a runtime of ONNX by other authors, gives the golden answers of our files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ptx.export import TrainedModel, export, read_model, round_weights, take_pixels
from ptx.infer import read_artifact
from ptx.models import CATALOG

tract = pytest.importorskip("tract", reason="tract is not installed (extra dev)")

Checkpoint = Callable[[str], Path]
Form = Callable[[TrainedModel], TrainedModel]

FORMS: dict[str, Form] = {
    "as it was trained": lambda trained: trained,
    "float16 weights": lambda trained: round_weights(trained, "float16"),
    "int8 weights and pixels": lambda trained: take_pixels(round_weights(trained, "int8")),
}


CASES = [(model, "as it was trained") for model in CATALOG] + [
    (model, form) for model in ("convnet", "lstm") for form in list(FORMS)[1:]
]


@pytest.mark.parametrize(("model", "form"), CASES)
def test_tract_gives_the_golden_answers(
    model: str, form: str, checkpoint: Checkpoint, tmp_path: Path
) -> None:
    trained = FORMS[form](read_model(checkpoint(model)))
    path = export(trained, "onnx", tmp_path / "model.onnx").path
    runnable = tract.onnx().load(str(path)).into_model().into_runnable()
    card = read_artifact(path).require_card()
    for sample in card.golden:
        outputs = runnable.run([sample.inputs[spec.name] for spec in card.signature.inputs])
        for spec, output in zip(card.signature.outputs, outputs, strict=True):
            off = np.abs(output.to_numpy() - sample.outputs[spec.name])
            assert (off <= sample.columns.get(spec.name, sample.tolerance[spec.name])).all()
