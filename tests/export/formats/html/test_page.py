"""A model as one page: what stands in it, what it allows itself, and what is made of a changed one."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ptx.infer.backends.javascript.hosts as hosts
from ptx.export import export, read_model
from ptx.export.formats.html import page, render
from ptx.infer import (
    AgreementError,
    ArtifactError,
    BackendError,
    load,
    parse_artifact,
    read_artifact,
)
from ptx.infer.artifact.html_page import ENGINE, MODEL, PAGE, append_digest, read_block, write_block
from ptx.infer.digits import ood
from ptx.infer.page import csp_hash

Export = Callable[[str, str], Path]
Checkpoint = Callable[[str], Path]
ROOM = Path(page.__file__).parent
pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")


@pytest.fixture(scope="module")
def convnet(artifact: Export) -> bytes:
    return artifact("convnet", "html").read_bytes()


def test_a_page_answers_as_the_onnx_file_in_it(artifact: Export) -> None:
    path = artifact("name-classifier", "html")
    with (
        load(path, trust=True) as page_predictor,
        load(artifact("name-classifier", "onnx"), backend="ort-cpu") as other,
    ):
        assert page_predictor.backend.name == "javascript"
        got, expected = (each.predict("Satoshi") for each in (page_predictor, other))
        assert got.label == expected.label
        assert got.score == pytest.approx(expected.score, abs=1e-6)
    inner = read_block(path.read_bytes(), MODEL, name="it")
    assert parse_artifact(inner, path=path).require_manifest().model == "name-classifier"


def test_an_input_of_no_rows_gets_an_answer_of_none(artifact: Export) -> None:
    with load(artifact("lstm", "html"), trust=True) as predictor:
        outputs = predictor.run(predictor.signature.example({"batch": 0, "time": 5}))
        assert outputs["logits"].shape == (0, 10)


def test_the_policy_allows_no_request_and_only_what_the_page_carries(convnet: bytes) -> None:
    text = convnet.decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    (style,) = re.findall(r'<style id="style">(.*?)</style>', text, re.DOTALL)
    other = read_block(convnet, PAGE, name="it").decode()
    assert policy == (
        f"default-src 'none'; script-src {csp_hash(script)} {csp_hash(other)}; "
        f"style-src {csp_hash(style)};"
        " worker-src blob:; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    both = script + other
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+", re.sub(r"data:image[^\"]+", "", both)) == []
    for forbidden in ("eval(", "fetch(", "XMLHttpRequest", "import(", "WebSocket"):
        assert forbidden not in both
        assert forbidden not in page.engine()


def test_the_script_knows_the_digest_of_every_other_part(convnet: bytes) -> None:
    text = convnet.decode()
    (digests,) = re.findall(r"const DIGESTS = (\{.*?\});", text)
    for name, digest in json.loads(digests).items():
        (part,) = re.findall(rf'id="{name}">(.*?)</(?:script|style)>', text, re.DOTALL)
        assert hashlib.sha256(part.encode()).hexdigest() == digest


def test_the_same_model_becomes_the_same_page(artifact: Export, convnet: bytes) -> None:
    model = read_block(convnet, MODEL, name="it")
    assert render(model) == convnet


def test_a_convnet_is_smaller_than_its_limit(convnet: bytes) -> None:
    assert len(convnet) <= 200_000


def test_a_page_keeps_the_calibration(checkpoint: Checkpoint, tmp_path: Path) -> None:
    trained = read_model(checkpoint("basic-cnn"))
    calibration = {"temperature": 1.5, "ood_detector": ood.CURRENT}
    calibrated = replace(trained, manifest=replace(trained.manifest, calibration=calibration))
    path = export(calibrated, "html", tmp_path / "calibrated.html").path
    assert read_artifact(path).require_manifest().calibration == calibration


def test_a_name_that_holds_tags_ends_nothing(convnet: bytes, checkpoint: Checkpoint) -> None:
    from ptx.infer.artifact import onnx_bytes

    manifest = read_artifact(checkpoint("linear-model")).require_manifest()
    named = replace(manifest, model="</script><script>alert(1)", labels=())
    model = read_block(convnet, MODEL, name="it")
    bare = model[: onnx_bytes.read_header(model, name="it").graph[1]]
    made = render(onnx_bytes.embed_manifest(bare, named.to_json())).decode()
    assert "<script>alert" not in made


def test_every_word_has_both_languages_and_is_used() -> None:
    words = json.loads((ROOM / "words.json").read_text("utf-8"))
    assert words["en"].keys() == words["zh"].keys()
    scripts = "".join(path.read_text("utf-8") for path in ROOM.rglob("*.js"))
    for word in words["en"]:
        assert f'"{word}"' in scripts or f'data-word="{word}"' in (
            ROOM.parents[2] / "infer" / "page" / "sections.html"
        ).read_text("utf-8")


@pytest.mark.parametrize("place", [0.1, 0.3, 0.5, 0.7, 0.95, 0.999])
def test_a_changed_byte_is_refused(convnet: bytes, place: float, tmp_path: Path) -> None:
    changed = bytearray(convnet)
    changed[int(place * len(changed))] ^= 1
    path = tmp_path / "changed.html"
    path.write_bytes(changed)
    with pytest.raises(ArtifactError, match="has changed since it was written"):
        load(path, trust=True)


def test_a_page_of_others_is_not_run(artifact: Export) -> None:
    with pytest.raises(ArtifactError, match="is a model as one page") as caught:
        load(artifact("linear-model", "html"))
    assert caught.value.code == "E-TRUST"


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            lambda text: text.replace('id="model"', 'id="other"'),
            "its block 'model' cannot be read: it is missing",
        ),
        (
            lambda text: re.sub(r'(id="model">).{9}', r"\1", text),
            "its block 'model' cannot be read",
        ),
        (
            lambda text: text.replace(write_block(ENGINE, page.engine().encode()), ""),
            "its block 'engine'",
        ),
    ],
)
def test_a_page_without_its_parts_is_refused(
    convnet: bytes, made: Any, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "cut.html"
    path.write_bytes(append_digest(made(convnet.decode())))
    with pytest.raises(ArtifactError, match=told):
        load(path, trust=True)


def test_other_html_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "other.html"
    path.write_text("<!doctype html>\n<title>no model</title>\n")
    with pytest.raises(ArtifactError, match="is text; expected an ONNX file"):
        read_artifact(path)


def test_an_engine_that_computes_otherwise_is_no_proof(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = page.engine().replace("Math.max(x, 0)", "Math.max(x, 0.001)")
    monkeypatch.setattr(page, "engine", lambda: wrong)
    path = tmp_path / "wrong.html"
    with pytest.raises(AgreementError, match="javascript disagrees with eager float64"):
        export(read_model(checkpoint("basic-cnn")), "html", path)
    assert not path.exists()


def test_an_operator_that_a_page_lacks_is_named(tmp_path: Path) -> None:
    class Resized(nn.Module):
        """Twice as wide and high."""

        def forward(self, image: Tensor) -> Tensor:
            larger: Tensor = nn.functional.interpolate(image, scale_factor=2, mode="bilinear")
            return larger

    path = tmp_path / "resized.html"
    with pytest.raises(AgreementError, match="a page does not compute the operator Resize"):
        export(
            Resized(),
            "html",
            path,
            name="resized",
            signature={
                "inputs": {"image": ["float32", ["batch", 1, 8, 8]]},
                "outputs": {"larger": ["float32", ["batch", 1, 16, 16]]},
            },
        )
    assert not path.exists()


def test_weights_that_are_nan_make_no_page(tmp_path: Path) -> None:
    broken = nn.Linear(1, 1)
    nn.init.constant_(broken.weight, torch.nan)
    with pytest.raises(ArtifactError, match="not finite"):
        export(
            broken,
            "html",
            tmp_path / "nan.html",
            name="nan",
            signature={
                "inputs": {"x": ["float32", ["batch", 1]]},
                "outputs": {"y": ["float32", ["batch", 1]]},
            },
        )


def test_without_mini_racer_node_runs_the_page(
    artifact: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("node"):
        pytest.skip("Node.js is not installed")
    monkeypatch.setitem(sys.modules, "py_mini_racer", None)
    with load(artifact("linear-model", "html"), trust=True) as predictor:
        outputs = predictor.run({"x": np.array([[4.0]], np.float32)})
    with load(artifact("linear-model", "onnx"), backend="ort-cpu") as other:
        expected = other.run({"x": np.array([[4.0]], np.float32)})
    np.testing.assert_allclose(outputs["y"], expected["y"], rtol=1e-6)


def test_without_both_the_backend_is_not_available(
    artifact: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "py_mini_racer", None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(
        BackendError, match=r"neither mini-racer nor Node.js is installed"
    ) as caught:
        load(artifact("linear-model", "html"), trust=True)
    assert caught.value.exit_code == 3


def test_a_script_that_throws_is_told_in_its_own_words() -> None:
    host = hosts.open_host()
    with pytest.raises(hosts.ScriptError, match="in vain"):
        host.run("throw new Error('in vain')")
    host.close()


def test_base64_and_sha256_are_those_of_python() -> None:
    host = hosts.open_host()
    host.run(page.engine() + "const copy = (text) => ptx.toBase64(ptx.fromBase64(text));")
    for size in (0, 1, 2, 3, 55, 56, 64, 1000):
        text = base64.b64encode(np.arange(size).astype(np.uint8).tobytes()).decode()
        assert host.call("copy", text) == text
    host.close()
