"""A page that ONNX Runtime's WebAssembly runs: its proof, its answers, and what a changed one says."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, nn

from ptx.export import EXPORTERS, export, read_model
from ptx.export.formats.html import find_runtime
from ptx.export.source import TrainedModel, describe
from ptx.infer import ArtifactError, BackendError, UsageError, load
from ptx.infer.artifact.html_page import WASM, read_block

Checkpoint = Callable[[str], Path]
Show = Callable[..., Any]
PICTURES = Path(__file__).parents[3] / "pictures"


@pytest.fixture(scope="module")
def dist(package: Callable[[str], Path]) -> Iterator[Path]:
    """The folder of onnxruntime-web, found by its variable."""
    if not shutil.which("node"):
        pytest.skip("Node.js is not installed")
    folder = package("onnxruntime-web") / "dist"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PTX_ORT_WEB", str(folder))
        yield folder


@pytest.fixture(scope="module")
def page(dist: Path, checkpoint: Checkpoint, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A convnet."""
    path = tmp_path_factory.mktemp("runtime") / "convnet.ort.html"
    return export(with_runtime(read_model(checkpoint("convnet"))), "html", path).path


def with_runtime(trained: TrainedModel) -> TrainedModel:
    return replace(trained, runtime="ort")


class Resized(nn.Module):
    """Twice as wide and high."""

    def forward(self, image: Tensor) -> Tensor:
        larger: Tensor = nn.functional.interpolate(image, scale_factor=2, mode="bilinear")
        return larger


RESIZED = {
    "name": "resized",
    "signature": {
        "inputs": {"image": ["float32", ["batch", 1, 8, 8]]},
        "outputs": {"larger": ["float32", ["batch", 1, 16, 16]]},
    },
}


def test_what_is_proved_are_the_bytes_that_the_page_carries(
    page: Path, dist: Path, tmp_path: Path
) -> None:
    carried = read_block(page.read_bytes(), WASM, name="it")
    assert carried == (dist / "ort-wasm-simd-threaded.wasm").read_bytes()
    with load(page, trust=True) as predictor:
        answer = predictor.predict(PICTURES / "mnist-7.png")
    with load(page, trust=True) as predictor:
        assert predictor.predict(PICTURES / "mnist-7.png").score == answer.score
    broken = tmp_path / "broken.html"
    broken.write_bytes(page.read_bytes().replace(b'id="wasm">', b'id="wasn">'))
    with pytest.raises(ArtifactError, match="has changed since it was written"):
        load(broken, trust=True)


def test_an_operator_that_plain_javascript_lacks_is_computed(dist: Path, tmp_path: Path) -> None:
    trained = with_runtime(describe(Resized(), **RESIZED))
    done = export(trained, "html", tmp_path / "resized.ort.html")
    assert 0 < done.error <= done.tolerance
    image = np.arange(64, dtype=np.float32).reshape(1, 1, 8, 8)
    with load(done.path, trust=True) as predictor:
        larger = predictor.run({"image": image})["larger"]
    assert larger.shape == (1, 1, 16, 16)
    assert larger[0, 0, 0, 1] == pytest.approx(0.25)


def test_the_page_computes_in_a_browser_without_a_request(page: Path, show: Show) -> None:
    from playwright.sync_api import expect

    shown = show(page)
    expect(shown.locator("#verification")).to_contain_text("✓ Computed here, in this browser: all ")
    shown.locator("#file").set_input_files(PICTURES / "seven-on-paper.png")
    with load(page, trust=True) as predictor:
        answer = predictor.predict(PICTURES / "seven-on-paper.png", top=5)
    expect(shown.locator("#label")).to_have_text(str(answer.label))
    bars = shown.locator("#bars span:last-child").all_inner_texts()
    assert bars == [f"{100 * score:.1f} %" for _, score in answer.top]


@pytest.mark.parametrize("part", ["wasm", "runtime"])
def test_a_changed_byte_is_told_by_the_page(
    part: str, page: Path, browser: Any, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    content = page.read_text("utf-8")
    place = content.index(f'id="{part}">') + 5_000
    other = "x" if content[place] != "x" else "y"
    changed = tmp_path / "changed.html"
    changed.write_text(content[:place] + other + content[place + 1 :], "utf-8")
    context = browser.new_context(locale="en-GB")
    shown = context.new_page()
    shown.goto(changed.as_uri())
    told = (
        f"This page makes no prediction: its part “{part}” has changed since the page was written."
    )
    expect(shown.locator("#changed")).to_contain_text(told)
    expect(shown.locator("#drawing")).to_have_count(0)
    context.close()


def test_without_onnxruntime_web_it_is_said_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PTX_ORT_WEB", str(tmp_path))
    with pytest.raises(BackendError, match=r"npm install onnxruntime-web@1\.30\.0") as caught:
        find_runtime()
    assert caught.value.exit_code == 3
    monkeypatch.delenv("PTX_ORT_WEB")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BackendError, match="node_modules/onnxruntime-web/dist"):
        find_runtime()


def test_other_webassembly_is_not_taken(
    dist: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for path in (dist / "ort.wasm.bundle.min.mjs", dist / "ort-wasm-simd-threaded.wasm"):
        shutil.copy(path, tmp_path)
    monkeypatch.setenv("PTX_ORT_WEB", str(tmp_path))
    find_runtime()
    with (tmp_path / "ort-wasm-simd-threaded.wasm").open("ab") as file:
        file.write(b"0")
    with pytest.raises(BackendError, match="its sha256 is"):
        find_runtime()


def test_without_node_there_is_no_proof(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(BackendError, match=r"needs Node.js, which is not installed") as caught:
        load(page, trust=True)
    assert caught.value.exit_code == 3


def test_a_runtime_is_for_a_page(checkpoint: Checkpoint, tmp_path: Path) -> None:
    trained = with_runtime(read_model(checkpoint("linear-model")))
    for name in EXPORTERS.keys() - {"html"}:
        with pytest.raises(UsageError, match="--runtime ort is for a page"):
            export(trained, name, tmp_path / "model")
