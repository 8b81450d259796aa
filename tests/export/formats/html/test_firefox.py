"""A model as one page in Firefox, under `file://`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ptx.infer import load

from .firefox import Firefox

Export = Callable[[str, str], Path]
PICTURES = Path(__file__).parents[3] / "pictures"
pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")


@pytest.fixture(scope="module")
def firefox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    program = (
        os.environ.get("PTX_FIREFOX") or shutil.which("firefox-esr") or shutil.which("firefox")
    )
    if not program:
        pytest.skip("there is no firefox")
    opened = Firefox(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


def test_the_watch_sees_a_request_and_an_error(firefox: Firefox, tmp_path: Path) -> None:
    path = tmp_path / "asks.html"
    asks = '<script src="http://127.0.0.1:59999/beside.js"></script>'
    path.write_text(f"{asks}<script>throw Error('in vain')</script>")
    firefox.show(path)
    assert firefox.requests == ["http://127.0.0.1:59999/beside.js"]
    assert any("in vain" in error for error in firefox.errors)


def test_firefox_computes_the_golden_samples_and_answers_as_python(
    firefox: Firefox, artifact: Export
) -> None:
    requests, errors = firefox.requests, firefox.errors
    firefox.show(artifact("convnet", "html"))
    assert firefox.text("#verification").startswith("✓ Computed here, in this browser: all ")
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as predictor:
        for name in ("seven-on-paper.png", "mnist-7.png"):
            firefox.choose("#file", PICTURES / name)
            answer = predictor.predict(PICTURES / name)
            assert "ms" in firefox.text("#time")
            assert firefox.text("#label") == str(answer.label)
            assert firefox.text("#bars span:last-child") == f"{100 * (answer.score or 0):.1f} %"
    assert (firefox.requests, firefox.errors) == (requests, errors)


def test_firefox_says_that_a_byte_has_changed(
    firefox: Firefox, artifact: Export, tmp_path: Path
) -> None:
    content = artifact("linear-model", "html").read_text("utf-8")
    place = content.index('id="model">') + 100
    other = "x" if content[place] != "x" else "y"
    path = tmp_path / "changed.html"
    path.write_text(content[:place] + other + content[place + 1 :], "utf-8")
    firefox.show(path)
    told = "This page makes no prediction: its part “model” has changed since the page was written."
    # Until a script has run the page says another thing.
    assert told in firefox.text("#changed", holding="makes no prediction: its part")
