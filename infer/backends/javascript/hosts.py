"""Engines that run JavaScript: V8 of the package mini-racer, or Node.

In mini-racer a script has no access to files, processes or a network. Node runs it in a context with
only the standard objects of JavaScript. This is not a sandbox: a page, like every program, must be
trusted.
"""

from __future__ import annotations

import atexit
import ctypes
import importlib.metadata
import json
import os
import shutil
import subprocess
import threading
from types import SimpleNamespace
from typing import Any, Protocol, final
from weakref import WeakSet

from ptx.infer.errors import BackendError, install_hint

# Reads a line of JSON, `{script}` or `{name, text}`, and writes a line, `{value}` or `{error}`. As a
# "worker", the context also has the objects of a browser's worker that ONNX Runtime's script needs.
_NODE = """
const vm = require("vm"), worker = process.argv[1] === "worker";
const context = vm.createContext(Object.assign(Object.create(null), worker && {
  TextDecoder, TextEncoder, URL, performance, setTimeout, clearTimeout, WorkerGlobalScope: Object,
  console: Object.fromEntries(["debug", "error", "info", "log", "warn"].map((name) => [name, () => {}])),
}));
if (worker) vm.runInContext("globalThis.self = globalThis", context);
require("readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  const { script, name, text } = JSON.parse(line), response = {};
  try {
    context.text = text;
    response.value = await vm.runInContext(script ?? `${name}(text)`, context) ?? null;
  } catch (error) { response.error = String(error?.message ?? error); }
  process.stdout.write(JSON.stringify(response) + "\\n");
});
"""


class ScriptError(Exception):
    """An exception in a script."""


class Host(Protocol):
    """A context in which scripts run one after the other."""

    def run(self, script: str) -> None:
        """Run a script; its declarations stay. ScriptError if it throws."""

    def call(self, name: str, text: str) -> str:
        """Call a function of the context with a text; ScriptError if it throws."""

    def close(self) -> None:
        """Release the engine."""


def find_runtime() -> Any:
    """An object with the name and version of the engine: mini-racer, or else Node.

    Raises:
        BackendError: neither is installed.
    """
    try:
        import py_mini_racer

        name, version = "mini-racer", importlib.metadata.version("mini-racer")
        return SimpleNamespace(__name__=name, __version__=version, module=py_mini_racer)
    except ImportError as error:
        node = shutil.which("node")
        if node is None:
            raise BackendError(
                "neither mini-racer nor Node.js is installed, one of which must run the JavaScript of"
                f" a page: {install_hint('html')}"
            ) from error
        process = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60)
        return SimpleNamespace(__name__="node", __version__=process.stdout.strip(), path=node)


def open_worker() -> Host:
    """Node, with the objects of a browser's worker that ONNX Runtime's WebAssembly needs.

    Raises:
        BackendError: Node is not installed.
    """
    node = shutil.which("node")
    if node is None:
        raise BackendError(
            "running the WebAssembly of a page needs Node.js, which is not installed: install it"
            " (apt-get install nodejs, https://nodejs.org), or omit --runtime ort"
        )
    return NodeHost(node, "worker")


def open_host() -> Host:
    """V8 of mini-racer, or else Node.

    Raises:
        BackendError: neither is installed.
    """
    runtime = find_runtime()
    return NodeHost(runtime.path) if runtime.__name__ == "node" else V8Host(runtime.module)


_CONTEXTS: WeakSet[Any] = WeakSet()


def _keep_contexts() -> None:
    """Never destroy contexts in a forked child, which would wait for threads that do not exist there."""
    for context in _CONTEXTS:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(context))
    _CONTEXTS.clear()


@atexit.register
def _close_contexts() -> None:
    """Close the contexts before Python exits, because V8's thread calls into Python and would hang."""
    for context in list(_CONTEXTS):
        context.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_contexts)


@final
class V8Host:
    """V8 in this process; `module`: `py_mini_racer`."""

    def __init__(self, module: Any) -> None:
        self._error = module.JSEvalException
        self._context = module.MiniRacer()
        _CONTEXTS.add(self._context)

    def run(self, script: str) -> None:
        self._evaluate(self._context.eval, f"{script};0")

    def call(self, name: str, text: str) -> str:
        return str(self._evaluate(self._context.call, name, text))

    def close(self) -> None:
        self._context.close()

    def _evaluate(self, function: Any, *arguments: str) -> Any:
        try:
            return function(*arguments)
        except self._error as error:
            raise ScriptError(next(iter(str(error).splitlines()), "")) from error


@final
class NodeHost:
    """Node in a child process; `mode`: "bare" or "worker", see _NODE."""

    def __init__(self, node: str, mode: str = "bare") -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [node, "-e", _NODE, mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, script: str) -> None:
        self._request({"script": f"{script};0"})

    def call(self, name: str, text: str) -> str:
        return str(self._request({"name": name, "text": text}))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _request(self, request: dict[str, str]) -> Any:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{json.dumps(request)}\n")
            self._process.stdin.flush()
            response = json.loads(self._process.stdout.readline() or '{"error": "Node has exited"}')
        if "error" in response:
            raise ScriptError(response["error"])
        return response["value"]
