"""Runs an HTML artifact as a browser does: with the engine that the page contains."""

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
const run = (text) => ptx.runModel(model, text);
"""

# The same for a page with WebAssembly, as its worker opens it.
_OPEN_WASM = """
let model;
const open = async (text) => {
  model = await ptx.openSession(...text.split(" ").map(ptx.fromBase64));
  return "open";
};
const run = (text) => ptx.runModelAsync(model, text);
"""


@final
class JavaScriptBackend:
    """Runs the engine of a page in V8 or Node; arrays are passed as JSON with base64.

    For a page with ONNX Runtime's WebAssembly, that runtime is run in Node.
    """

    name = "javascript"
    device = "cpu"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        self._artifact = artifact
        read = partial(read_block, artifact.data, name=artifact.name)
        scripts, contents = [read(ENGINE).decode()], [read(MODEL)]
        has_wasm = has_block(artifact.data, WASM)
        if has_wasm:
            scripts.append(read(RUNTIME).decode())
            contents.append(read(WASM))
        self._host = open_worker() if has_wasm else open_host()
        try:
            self._host.run("".join((*scripts, _OPEN_WASM if has_wasm else _OPEN)))
            encoded = (base64.b64encode(content).decode() for content in contents)
            self._host.call("open", " ".join(encoded))
        except ScriptError as error:
            self._host.close()
            raise ArtifactError(f"{artifact.name}: {error}", code="E-PAGE") from error

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        request = {name: _to_data(array) for name, array in inputs.items()}
        try:
            response = self._host.call("run", json.dumps(request))
        except ScriptError as error:
            raise ArtifactError(f"{self._artifact.name}: {error}", code="E-PAGE") from error
        return {name: _from_data(data) for name, data in json.loads(response).items()}

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
