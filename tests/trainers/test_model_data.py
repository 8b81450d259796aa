"""Data that is another than in the training: no row that was trained on is tested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ptx import trainers
from ptx.infer.artifact.artifact import read_artifact
from ptx.infer.external.spec import ModelSpec
from ptx.infer.signature import Signature
from ptx.models import CATALOG
from ptx.trainers.data.bundled import open_mnist

MODEL = "softmax-regression"


def rows(split: trainers.Split) -> set[bytes]:
    return {pixels.tobytes() for pixels in split.inputs["image"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 pictures of each of two digits."""
    digits = open_mnist().test
    for label in (3, 4):
        (tmp_path / "digits" / str(label)).mkdir(parents=True)
        for index, row in enumerate(np.flatnonzero(digits.targets == label)[:20]):
            path = tmp_path / "digits" / str(label) / f"{index:02}.png"
            Image.fromarray(digits.inputs["image"][row]).save(path)
    return tmp_path / "digits"


def test_a_folder_that_has_changed_tests_only_what_was_held_out(
    ptx: Any, folder: Path, tmp_path: Path
) -> None:
    trained = ptx("train", MODEL, "--data", folder, "--epochs", 1, "--workspace", tmp_path)
    assert trained.code == 0, trained.err
    checkpoint = tmp_path / MODEL / "checkpoint.pt"
    manifest = read_artifact(checkpoint).require_manifest()
    before = trainers.open_model_data(MODEL, str(folder), cache=tmp_path, manifest=manifest)
    for name in ("00", "01", "07", "11"):
        (folder / "3" / f"{name}.png").unlink()
    after = trainers.open_model_data(MODEL, str(folder), cache=tmp_path, manifest=manifest)
    assert rows(after.test)
    assert rows(after.test) <= rows(before.test)
    assert not rows(after.test) & rows(before.train)

    done = ptx("evaluate", checkpoint, "--data", folder, "--workspace", tmp_path)
    assert "the rows differ from" in done.err


def test_a_table_of_a_model_with_other_columns_is_refused(
    ptx: Any, tmp_path: Path, checkpoint: Any
) -> None:
    model = checkpoint("diabetes")
    names = list(read_artifact(model).require_manifest().preprocessing["names"])
    cells = dict(zip(names, ["6", "148", "72", "35", "0", "33.6", "0.627", "50"], strict=True))

    def predict(header: list[str], values: list[str]) -> Any:
        table = tmp_path / "t.csv"
        table.write_text("\n".join([",".join(row) for row in (header, values) if row]) + "\n")
        return ptx("predict", table, "--model", model, "--json")

    plain = predict(names, list(cells.values()))
    assert plain.code == 0, plain.err
    score = plain.out.partition('"score"')[2].partition("}")[0]
    turned = names[::-1]
    extra = predict([*turned, "id"], [*(cells[name] for name in turned), "7"])
    assert extra.out.partition('"score"')[2].partition("}")[0] == score
    assert "'id'" in extra.err
    bare = predict([], list(cells.values()))
    assert bare.out.partition('"score"')[2].partition("}")[0] == score
    assert "in this order" in bare.err
    for header in (list("abcdefgh"), [*names[:-1], "h"]):
        other = predict(header, list(cells.values()))
        assert other.code == 4
        assert "E-CSV" in other.out


def test_a_model_whose_labels_were_decided_by_other_data_is_evaluated_on_it(tmp_path: Path) -> None:
    entry = CATALOG["neural-network"]
    spec = ModelSpec(
        task=entry.task, preprocessing=dict(entry.preprocessing), labels=open_mnist().labels
    )
    manifest = replace(
        spec.manifest(Signature.from_data(entry.signature), name="neural-network"),
        training={"assumed": {}, "selected": {"data": "bundled-mnist"}},
    )
    dataset = trainers.open_model_data("neural-network", None, cache=tmp_path, manifest=manifest)
    assert dataset.name == "bundled-mnist"
