"""A model as one page, run as its browser runs it: the page's own engine over the page's own model."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from functools import partial
from typing import Any, final

import numpy as np

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.artifact.html_page import (
    ENGINE,
    MODEL,
    RUNTIME,
    WASM,
    has_block,
    read_block,
)
from ptx.infer.backends import Options
from ptx.infer.backends.javascript.hosts import ScriptError, open_host, open_worker
from ptx.infer.errors import ArtifactError
from ptx.infer.signature import Array

_OPEN = """
let model;
const open = (text) => { model = ptx.openModel(ptx.fromBase64(text)); return "open"; };
const answer = (text) => ptx.runModel(model, text);
"""

# The same with the WebAssembly that the page carries, as its worker opens it.
_OPEN_COMPILED = """
let model;
const open = async (text) => {
  model = await ptx.openSession(...text.split(" ").map(ptx.fromBase64));
  return "open";
};
const answer = (text) => ptx.runModelAsync(model, text);
"""


@final
class JavaScriptBackend:
    """Runs the engine of a page in V8 or Node; arrays go to and fro as JSON with base64.

    Of a page with ONNX Runtime's WebAssembly that is what is run, in Node.
    """

    name = "javascript"
    device = "cpu"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        self._artifact = artifact
        read = partial(read_block, artifact.data, name=artifact.name)
        scripts, given = [read(ENGINE).decode()], [read(MODEL)]
        compiled = has_block(artifact.data, WASM)
        if compiled:
            scripts.append(read(RUNTIME).decode())
            given.append(read(WASM))
        self._host = open_worker() if compiled else open_host()
        try:
            self._host.run("".join((*scripts, _OPEN_COMPILED if compiled else _OPEN)))
            self._host.call("open", " ".join(base64.b64encode(each).decode() for each in given))
        except ScriptError as error:
            self._host.close()
            raise ArtifactError(f"{artifact.name}: {error}", code="E-PAGE") from error

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        question = {name: _to_data(array) for name, array in inputs.items()}
        try:
            answered = self._host.call("answer", json.dumps(question))
        except ScriptError as error:
            raise ArtifactError(f"{self._artifact.name}: {error}", code="E-PAGE") from error
        return {name: _from_data(data) for name, data in json.loads(answered).items()}

    def close(self) -> None:
        self._host.close()


def _to_data(array: Array) -> dict[str, Any]:
    return {
        "dtype": array.dtype.name,
        "shape": array.shape,
        "base64": base64.b64encode(array.tobytes()).decode(),
    }


def _from_data(data: dict[str, Any]) -> Array:
    content = np.frombuffer(base64.b64decode(data["base64"]), data["dtype"])
    return content.reshape(data["shape"]).copy()
