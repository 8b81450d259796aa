"""Golden samples on a page: inputs of a seed, and outputs of which some elements are stored."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ptx.export import export
from ptx.export.formats.html.page import engine
from ptx.infer import verify
from ptx.infer.artifact import onnx_bytes
from ptx.infer.artifact.artifact import parse_artifact
from ptx.infer.artifact.golden import GoldenSample, array_from_data, golden_to_data
from ptx.infer.artifact.html_page import MODEL, read_block
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.artifact.sampled import SampledArray
from ptx.infer.artifact.seeded import seeded_array
from ptx.infer.backends.javascript.hosts import Host, open_host

pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")
SCRIPT = """
const make = (text) => JSON.stringify(ptx.toManifest(ptx.readInput(JSON.parse(text))));
let found = "";
const begin = (text) => {
  found = "";
  ptx.replay(ptx.openModel(ptx.fromBase64(text)))
    .then((value) => { found = `${value.samples} agree`; }, (error) => { found = error.message; });
  return "";
};
const tell = () => found;
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    opened = open_host()
    opened.run(engine() + SCRIPT)
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("dtype", "bounds"),
    [
        ("float32", None),
        ("float64", None),
        ("uint8", (0, 255)),
        ("int8", (-128, 127)),
        ("int32", (-(2**31), 2**31 - 1)),
        ("int64", (0, 2**52)),
        ("bool", (0, 1)),
    ],
)
def test_inputs_of_a_seed_are_those_of_python(host: Host, dtype: str, bounds: Any) -> None:
    sample = GoldenSample({"x": seeded_array(dtype, (3, 70), 2**32 - 1, bounds)}, {}, {})
    data = golden_to_data(sample)["inputs"]["x"]
    got = array_from_data(json.loads(host.call("make", json.dumps(data))))
    assert got.dtype == dtype
    assert np.array_equal(got, sample.inputs["x"])


class Edges(nn.Module):
    """The edges of a picture, and where they are strong."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        edges = self.layer(x)
        return edges, edges > 0.5


@pytest.fixture(scope="module")
def edges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    signature = {
        "inputs": {"x": ["float32", ["batch", 1, 28, 28]]},
        "outputs": {
            "edges": ["float32", ["batch", 2, 28, 28]],
            "strong": ["bool", ["batch", 2, 28, 28]],
        },
    }
    path = tmp_path_factory.mktemp("edges") / "edges.html"
    return export(Edges(), "html", path, signature=signature).path


def replayed(host: Host, path: Path, **changes: Any) -> str:
    """The result of the golden samples on the page, if the first has these changes."""
    model = read_block(path.read_bytes(), MODEL, name="it")
    manifest = parse_artifact(model, path=path).require_manifest()
    first, *others = manifest.golden
    changed: Manifest = replace(manifest, golden=(replace(first, **changes), *others))
    import onnx

    bare = onnx.load_from_string(model)
    del bare.metadata_props[:]
    digest_ok = onnx_bytes.embed_manifest(bare.SerializeToString(), changed.to_json())
    host.call("begin", base64.b64encode(digest_ok).decode())
    return host.call("tell", "")


def test_a_page_replays_large_outputs(host: Host, edges: Path) -> None:
    assert all(check.passed for check in verify(edges, trust=True))
    manifest = parse_artifact(edges.read_bytes(), path=edges).require_manifest()
    stored = dict(manifest.golden[0].outputs)
    assert {type(output) for output in stored.values()} == {SampledArray}
    assert replayed(host, edges) == "2 agree"
    for name, output in stored.items():
        assert isinstance(output, SampledArray)
        values = output.values.copy()
        values[5] = values[5] == 0
        assert name in replayed(
            host, edges, outputs=stored | {name: replace(output, values=values)}
        )
        sums = replace(output, checksums=output.checksums + 0.5)
        assert replayed(host, edges, outputs=stored | {name: sums}) == f"sample-other: {name}"
        other = replace(output, shape=(*output.shape[:3], 29))
        assert "29" in replayed(host, edges, outputs=stored | {name: other})


def test_a_page_compares_the_stored_predictions(
    host: Host, artifact: Callable[[str, str], Path]
) -> None:
    path = artifact("logistic-regression", "html")
    manifest = parse_artifact(path.read_bytes(), path=path).require_manifest()
    first, *others = manifest.golden[0].predictions
    wrong = next(label for label in manifest.labels if label != first.label)
    assert replayed(host, path) == f"{len(manifest.golden) + len(manifest.end_to_end)} agree"
    changed = (replace(first, label=wrong), *others)
    assert replayed(host, path, predictions=changed) == f"sample-other: {wrong}"
