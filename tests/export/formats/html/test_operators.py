"""Every operator of a page's engine, against the cases that the onnx package carries for it."""

from __future__ import annotations

import base64
import json
import re
import warnings
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest

from ptx.export.formats.html.page import engine
from ptx.infer.backends.javascript.hosts import Host, ScriptError, open_host

cases = pytest.importorskip("onnx.backend.test.case.node")
pytest.importorskip("py_mini_racer", reason="mini-racer is not installed")

LEAST = 18  # opset of a page
RIGHT = 519  # cases that were answered when this was written
# Their cases are of later opsets or other types, or ask for more outputs than a page gives.
UNSHOWN = {"Cast", "CastLike", "CumSum", "LayerNormalization", "OneHot", "Range"}
TYPES = {"float32", "float64", "int64", "int32", "int8", "uint8", "bool"}
RUN = """
const known = (text) => JSON.stringify(Object.keys(ptx.OPERATORS));
const graphAnswer = (text) => {
  const { model, inputs } = JSON.parse(text);
  const graph = ptx.openGraph(ptx.readMessage("Model", ptx.fromBase64(model)));
  const given = Object.entries(inputs).map(([name, data]) => [name, ptx.fromManifest(data)]);
  const found = ptx.runGraph(graph, Object.fromEntries(given));
  return JSON.stringify(Object.entries(found).map(([, tensor]) => ptx.toManifest(tensor)));
};
"""


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    opened = open_host()
    opened.run(engine().replace("return { openModel", "return { OPERATORS, openModel") + RUN)
    yield opened
    opened.close()


def data_of(array: Any) -> dict[str, Any]:
    text = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
    return {"dtype": array.dtype.name, "shape": array.shape, "base64": text}


def array_of(data: dict[str, Any]) -> Any:
    content = np.frombuffer(base64.b64decode(data["base64"]), data["dtype"])
    return content.reshape(data["shape"])


def plain(arrays: Any) -> bool:
    return all(isinstance(a, np.ndarray) and a.dtype.name in TYPES for a in arrays)


def raise_opset(model: Any) -> None:
    """State the least opset that pages know, where it has the operators as the model means them."""
    (stated,) = (entry for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    if stated.version >= LEAST:
        return
    schemas = [
        [
            onnx.defs.get_schema(node.op_type, opset).since_version
            for opset in (stated.version, LEAST)
        ]
        for node in model.graph.node
    ]
    if all(stood == stands for stood, stands in schemas):
        stated.version = LEAST


def answered(host: Host, case: Any, inputs: Any, outputs: Any) -> str:
    names = [value.name for value in case.model.graph.input]
    question = {
        "model": base64.b64encode(case.model.SerializeToString()).decode(),
        "inputs": {name: data_of(array) for name, array in zip(names, inputs, strict=True)},
    }
    try:
        found = json.loads(host.call("graphAnswer", json.dumps(question)))
    except ScriptError as error:
        return re.sub(r"\W.*", "", str(error)) or "refused"
    for got, expected in zip(map(array_of, found), outputs, strict=True):
        if got.dtype != expected.dtype or got.shape != expected.shape:
            return f"WRONG {got.dtype} {got.shape}, not {expected.dtype} {expected.shape}"
        if not np.allclose(got, expected, rtol=1e-3, atol=1e-5, equal_nan=True):
            return f"WRONG by {np.abs(got.astype(float) - expected).max():.2g}"
    return "right"


def test_the_cases_of_onnx_are_answered_as_it_says_or_refused(host: Host) -> None:
    known = set(json.loads(host.call("known", "")))
    wrong: dict[str, str] = {}
    came: Counter[str] = Counter()
    shown: set[str] = set()
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        collected = cases.collect_testcases(None)
    for case in collected:
        operators = {node.op_type for node in case.model.graph.node}
        if not operators <= known or "_expanded" in case.name:
            continue
        for inputs, outputs in case.data_sets:
            if not plain([*inputs, *outputs]) or len(inputs) != len(case.model.graph.input):
                continue
            raise_opset(case.model)
            what = answered(host, case, inputs, outputs)
            came[what.split()[0]] += 1
            if what.startswith("WRONG"):
                wrong[case.name] = what
            elif what == "right":
                shown |= operators
    assert wrong == {}, came
    assert came["right"] >= RIGHT
    assert known - shown == UNSHOWN
