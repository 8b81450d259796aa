"""Engines that run JavaScript here: V8 of the package mini-racer, or Node.

V8 is bare: a script has neither files nor processes nor a network. Node runs it in a context that holds
JavaScript's own objects alone, which is no wall: like every program, a page is run where it is trusted.
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

# A line in, a line out: JSON texts `{call, arguments}` and `{value}` or `{error}`. As a worker it also
# has what ONNX Runtime's script asks a browser's worker for; neither has a way to files or a network.
_NODE = """
const vm = require("vm"), worker = process.argv[1] === "worker";
const context = vm.createContext(Object.assign(Object.create(null), worker && {
  TextDecoder, TextEncoder, URL, performance, setTimeout, clearTimeout, WorkerGlobalScope: Object,
  console: Object.fromEntries(["debug", "error", "info", "log", "warn"].map((name) => [name, () => {}])),
}));
if (worker) vm.runInContext("globalThis.self = globalThis", context);
require("readline").createInterface({ input: process.stdin }).on("line", async (line) => {
  const { script, name, text } = JSON.parse(line), answer = {};
  try {
    context.text = text;
    answer.value = await vm.runInContext(script ?? `${name}(text)`, context) ?? null;
  } catch (error) { answer.error = String(error?.message ?? error); }
  process.stdout.write(JSON.stringify(answer) + "\\n");
});
"""


class ScriptError(Exception):
    """What a script threw."""


class Host(Protocol):
    """A context in which scripts are run, one after the other."""

    def run(self, script: str) -> None:
        """Run a script; what it declares stays. ScriptError where it throws."""

    def call(self, name: str, text: str) -> str:
        """Call a function of the context with a text; ScriptError where it throws."""

    def close(self) -> None:
        """Give the engine back."""


def find_runtime() -> Any:
    """What runs scripts here, with its name and version: mini-racer, or else Node.

    Raises:
        BackendError: neither is there.
    """
    try:
        import py_mini_racer

        name, version = "mini-racer", importlib.metadata.version("mini-racer")
        return SimpleNamespace(__name__=name, __version__=version, module=py_mini_racer)
    except ImportError as error:
        node = shutil.which("node")
        if node is None:
            raise BackendError(
                f"neither mini-racer nor Node.js is installed, to run a page's JavaScript:"
                f" {install_hint('html')}"
            ) from error
        done = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=60)
        return SimpleNamespace(__name__="node", __version__=done.stdout.strip(), path=node)


def open_worker() -> Host:
    """Node, with what a browser's worker has and ONNX Runtime's WebAssembly needs.

    Raises:
        BackendError: it is not there.
    """
    node = shutil.which("node")
    if node is None:
        raise BackendError(
            "Node.js is not installed, which runs the WebAssembly of a page: install it (apt-get install"
            " nodejs, https://nodejs.org), or leave out --runtime ort"
        )
    return NodeHost(node, "worker")


def open_host() -> Host:
    """V8 of mini-racer, or else Node.

    Raises:
        BackendError: neither is there.
    """
    runtime = find_runtime()
    return NodeHost(runtime.path) if runtime.__name__ == "node" else V8Host(runtime.module)


_CONTEXTS: WeakSet[Any] = WeakSet()


def _keep_contexts() -> None:
    """Let none be taken down in a forked child, which would wait for threads that it has not."""
    for context in _CONTEXTS:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(context))
    _CONTEXTS.clear()


@atexit.register
def _close_contexts() -> None:
    """Before Python goes: V8's thread calls it, and waits for ever for one that has gone."""
    for context in list(_CONTEXTS):
        context.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_contexts)


@final
class V8Host:
    """V8 inside this process. `module`: of mini-racer."""

    def __init__(self, module: Any) -> None:
        self._error = module.JSEvalException
        self._context = module.MiniRacer()
        _CONTEXTS.add(self._context)

    def run(self, script: str) -> None:
        self._do(self._context.eval, f"{script};0")

    def call(self, name: str, text: str) -> str:
        return str(self._do(self._context.call, name, text))

    def close(self) -> None:
        self._context.close()

    def _do(self, act: Any, *arguments: str) -> Any:
        try:
            return act(*arguments)
        except self._error as error:
            raise ScriptError(next(iter(str(error).splitlines()), "")) from error


@final
class NodeHost:
    """Node in a process of its own. `form`: `worker`, or bare."""

    def __init__(self, node: str, form: str = "bare") -> None:
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [node, "-e", _NODE, form],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, script: str) -> None:
        self._ask({"script": f"{script};0"})

    def call(self, name: str, text: str) -> str:
        return str(self._ask({"name": name, "text": text}))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, question: dict[str, str]) -> Any:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(f"{json.dumps(question)}\n")
            self._process.stdin.flush()
            answer = json.loads(self._process.stdout.readline() or '{"error": "Node has ended"}')
        if "error" in answer:
            raise ScriptError(answer["error"])
        return answer["value"]
