"""The page on adding a model: its code, as it stands there, makes a model that works the whole way."""

from __future__ import annotations

import re
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.export import export, read_model
from ptx.infer import load
from ptx.models import catalog
from ptx.trainers import default_recipe, open_dataset, train

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "add-to-catalog.md"


def code_blocks() -> list[str]:
    return re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_the_model_of_the_page_trains_exports_and_predicts(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ptx: Any
) -> None:
    module, line = code_blocks()
    made = types.ModuleType("ptx.models.networks.tiny_cnn")
    exec(module, made.__dict__)
    monkeypatch.setitem(sys.modules, "ptx.models.networks.tiny_cnn", made)
    entries = eval("{" + line + "}", dict(vars(catalog)))
    assert list(entries) == ["tiny-cnn"]
    monkeypatch.setitem(catalog.CATALOG, "tiny-cnn", entries["tiny-cnn"])

    data = open_dataset("bundled", default="mnist", cache=tmp_path)
    few = replace(data, train=data.train.take(np.arange(200)), test=data.test.take(np.arange(50)))
    folder = tmp_path / "tiny-cnn"
    recipe = default_recipe("tiny-cnn", epochs=1)
    checkpoint = train("tiny-cnn", few, recipe, folder=folder, device="cpu").checkpoint
    exported = export(read_model(checkpoint), "onnx", folder / "tiny-cnn.onnx")
    assert exported.rows > 0
    with load(exported.path, backend="ort-cpu") as predictor:
        picture = Path(__file__).parent / "pictures" / "mnist-7.png"
        assert predictor.predict(picture).label in catalog.CATALOG["convnet"].labels
    shown = ptx("models", "--workspace", tmp_path)
    assert "tiny-cnn" in shown.out
