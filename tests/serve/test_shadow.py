"""A shadow: a second file that computes a share of the requests, too."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import ptx.serve
from ptx.export import export, export_int8
from ptx.export.formats import EXPORTERS
from ptx.export.quantize import int8
from ptx.infer import Array, Predictor, UsageError, load, read_artifact
from ptx.serve import ModelSource, ShadowSource, shadow

from ..faults.nearest import known, nearest, trial
from .conftest import Begin, Serve, Served, binary, until
from .test_metrics import read

MODEL = "nearest"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nearest.onnx, the same in int8, and that with the signs of its last layer flipped."""
    folder = tmp_path_factory.mktemp("shadow")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(int8, "measure_speedup", lambda *_: {1: 2.0, 64: 0.5})
        export_int8(nearest(), folder / "int8.onnx", trial())
    export(nearest(), "onnx", folder / "nearest.onnx")
    artifact = read_artifact(folder / "int8.onnx")
    model = onnx.load_from_string(artifact.data)
    del model.metadata_props[:]
    (weight,) = (one for one in model.graph.initializer if one.name == "last.weight_quantized")
    weight.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(weight), weight.name))
    manifest = replace(artifact.require_manifest(), golden=())  # which would not pass
    flipped = EXPORTERS["onnx"].embed_manifest(model.SerializeToString(), manifest.to_json())
    (folder / "flipped.onnx").write_bytes(flipped)
    return folder


def opener(
    path: Path, backend: str = "ort-cpu", timeout: float | None = 60
) -> Callable[[], Predictor]:
    return lambda: load(path, backend=backend, timeout=timeout)


Start = Callable[..., Served]


@pytest.fixture
def start(serve: Serve, files: Path) -> Start:
    """`start("int8.onnx", share=…)`: a server of nearest.onnx with that shadow."""

    def make(other: str | Callable[[], Predictor], **settings: Any) -> Served:
        open_other = opener(files / other) if isinstance(other, str) else other
        source = ShadowSource(open_other, **{"share": 1.0} | settings)
        return serve(ModelSource(MODEL, opener(files / "nearest.onnx"), source))

    return make


@pytest.fixture(scope="module")
def rows() -> Array:
    return np.concatenate([batch["row"] for batch, _ in known(200, seed=7).batches()])


def ask(served: Served, rows: Array) -> None:
    for row in rows:
        body, headers = binary(row[None], "row")
        assert served.infer(body, headers, MODEL).status == 200


def counts(served: Served) -> dict[tuple[str, ...], float]:
    return read(served.ask("GET", "/metrics").body)


def compared(served: Served) -> float:
    found = counts(served)
    results = ("agrees", "differs", "failed", "dropped")
    return sum(found["ptx_shadow_requests_total", MODEL, result] for result in results)


def test_a_flipped_layer_is_seen_within_200_requests(start: Start, rows: Array) -> None:
    served = start("flipped.onnx", share=0.1)
    ask(served, rows)
    assert until(lambda: counts(served)["ptx_shadow_disagrees", MODEL] == 1)
    found = counts(served)
    assert (
        found["ptx_shadow_labels_changed_total", MODEL]
        > found["ptx_shadow_labels_total", MODEL] / 4
    )


def test_a_good_file_in_int8_is_not_accused(start: Start, rows: Array) -> None:
    served = start("int8.onnx")
    ask(served, rows)
    assert until(lambda: compared(served) == len(rows))
    found = counts(served)
    assert found["ptx_shadow_requests_total", MODEL, "agrees"] > 0.9 * len(rows)
    assert found["ptx_shadow_disagrees", MODEL] == 0
    assert found["ptx_shadow_run_seconds_count", MODEL] == found["ptx_shadow_labels_total", MODEL]
    assert 0 < found["ptx_shadow_relative_error_sum", MODEL] < 0.1 * len(rows)
    assert found["ptx_shadow_error_count", MODEL] == 0  # there is no tolerance


def test_the_same_file_on_another_backend_is_held_to_the_tolerance(
    serve: Serve, files: Path, rows: Array
) -> None:
    path = files / "nearest.onnx"
    source = ShadowSource(opener(path, backend="openvino", timeout=None), share=1.0)
    served = serve(ModelSource(MODEL, opener(path), source))
    ask(served, rows[:20])
    assert until(lambda: compared(served) == 20)
    found = counts(served)
    assert found["ptx_shadow_requests_total", MODEL, "agrees"] == 20
    assert found["ptx_shadow_error_bucket", "1.0", MODEL] == 20


class Changed(Predictor):
    """A predictor with another `run`."""

    def __init__(self, inner: Predictor, run: Callable[[Any], Any]) -> None:
        self.__dict__ = inner.__dict__ | {"_run": run, "armed": False}

    def run(self, inputs: Mapping[str, Any], **options: Any) -> Any:
        outputs = super().run(inputs, **options)
        return self.__dict__["_run"](outputs) if self.__dict__["armed"] else outputs


@pytest.fixture
def changed(files: Path) -> Callable[..., Changed]:
    """`changed(run)`: nearest.onnx whose outputs a function changes, once it is `armed`."""
    return lambda run: Changed(opener(files / "nearest.onnx")(), run)


def test_an_error_beyond_the_tolerance_differs(
    start: Start, changed: Callable[..., Changed], rows: Array
) -> None:
    other = changed(lambda outputs: {"logits": outputs["logits"] + 1e-2})
    served = start(lambda: other)
    other.__dict__["armed"] = True
    ask(served, rows[:3])
    assert until(lambda: compared(served) == 3)
    found = counts(served)
    assert found["ptx_shadow_requests_total", MODEL, "differs"] == 3
    assert found["ptx_shadow_labels_changed_total", MODEL] == 0
    assert found["ptx_shadow_error_bucket", "1.0", MODEL] == 0
    assert found["ptx_shadow_disagrees", MODEL] == 1


def test_a_shadow_that_fails_is_counted_and_logged_once(
    start: Start,
    changed: Callable[..., Changed],
    rows: Array,
    caplog: pytest.LogCaptureFixture,
) -> None:
    other = changed(lambda outputs: outputs["missing"])
    served = start(lambda: other)
    other.__dict__["armed"] = True
    ask(served, rows[:4])
    assert until(lambda: counts(served)["ptx_shadow_requests_total", MODEL, "failed"] == 4)
    assert len([one for one in caplog.records if "shadow of nearest failed" in one.message]) == 1


def test_a_shadow_that_is_too_slow_misses_requests_and_delays_none(
    start: Start, changed: Callable[..., Changed], rows: Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "_MAX_WAITING", 2)
    seconds = 2.0

    def slow(outputs: Any) -> Any:
        time.sleep(seconds)
        return outputs

    other = changed(slow)
    served = start(lambda: other)
    other.__dict__["armed"] = True
    begun = time.monotonic()
    ask(served, rows[:10])
    assert time.monotonic() - begun < 10 * seconds / 2
    assert until(lambda: counts(served)["ptx_shadow_requests_total", MODEL, "dropped"] >= 7)


def test_the_worst_inputs_are_kept_within_bounds(
    start: Start, files: Path, rows: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadow, "MAX_KEPT", 3)
    served = start("flipped.onnx", keep=tmp_path / "kept")
    ask(served, rows[:30])
    assert until(lambda: compared(served) == 30)
    found = counts(served)
    kept = sorted((tmp_path / "kept").iterdir())
    differing = found["ptx_shadow_requests_total", MODEL, "differs"]
    assert len(kept) == 3 < differing
    results = [found["ptx_shadow_inputs_total", MODEL, result] for result in ("kept", "dropped")]
    assert sum(results) == differing
    with np.load(kept[0]) as one, load(files / "nearest.onnx", backend="ort-cpu") as predictor:
        expected = predictor.run({"row": one["input.row"]})["logits"]
        assert np.array_equal(one["served.logits"], expected)
        assert one["shadow.logits"].argmax() != expected.argmax()


def test_nothing_is_kept_or_compared_unless_it_is_asked_for(
    start: Start, rows: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    served = start("flipped.onnx", share=0.0)
    ask(served, rows[:10])
    assert compared(served) == 0
    assert not list(tmp_path.iterdir())


def test_a_shadow_of_another_form_is_refused(
    files: Path, artifact: Callable[[str, str], Path]
) -> None:
    models = {MODEL: opener(files / "nearest.onnx")}
    other = ShadowSource(opener(artifact("convnet", "onnx")))
    with pytest.raises(UsageError, match="other inputs"):
        ptx.serve.app(models, shadows={MODEL: other})
    with pytest.raises(UsageError, match="convnet"):
        ptx.serve.app(models, shadows={"convnet": other})


def test_pictures_are_compared_by_the_command_line_s_server_and_after_a_reload(
    begin: Begin, artifact: Callable[[str, str], Path], seven: Path
) -> None:
    path = artifact("convnet", "onnx")
    one = begin("--shadow", path, "--share", 1, "--reload", model=f"convnet={path}")
    for _ in range(2):
        status, body = one.ask("POST", "/predict/convnet", seven.read_bytes())
        assert (status, set(json.loads(body)) >= {"label", "score"}) == (200, True)
        assert one.infer() == 200
        assert one.ask("POST", "/v2/repository/models/convnet/load")[0] == 200
    agrees = "ptx_shadow_requests_total", "convnet", "agrees"
    assert until(lambda: read(one.ask("GET", "/metrics")[1])[agrees] == 4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shadow", "lstm=FILE"], "'lstm' is not served"),
        (["--shadow", "FILE", "--share", "1.5"], "from 0 to 1"),
    ],
)
def test_options_of_a_shadow_that_make_no_sense_are_refused(
    arguments: list[str], message: str, ptx: Any, artifact: Callable[[str, str], Path]
) -> None:
    path = str(artifact("convnet", "onnx"))
    given = [one.replace("FILE", path) for one in arguments]
    done = ptx("serve", f"convnet={path}", *given, "--port", "0")
    assert done.code == 2
    assert message in done.err
