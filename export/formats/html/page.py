"""Renders the page. Its content security policy allows only its own parts, by digest, and no request."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import cache
from html import escape
from importlib.resources import files

from ptx.export.formats.html.runtime import OrtWeb
from ptx.infer.artifact import onnx_bytes
from ptx.infer.artifact.html_page import (
    DATA,
    ENGINE,
    HEAD,
    MODEL,
    PAGE,
    RUNTIME,
    WASM,
    append_digest,
    write_block,
)
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.page import csp_hash, load_asset, page_data, translations
from ptx.infer.preprocessing import open_preprocessing

# The engine's parts, in the order of their dependencies.
PARTS = (
    "engine/bytes",
    "engine/blocks",
    "engine/tensor",
    "engine/protobuf",
    "operators/elementwise",
    "operators/layout",
    "operators/indexing",
    "operators/matrix",
    "operators/convolution",
    "operators/reduction",
    "operators/recurrent",
    "engine/graph",
    "engine/decode",
    "picture/raster",
    "picture/statistics",
    "picture/components",
    "picture/grouping",
    "picture/foreground",
    "picture/detection",
    "picture/mnist",
    "picture/photo",
    "engine/preprocessing",
    "engine/arrays",
    "engine/stored",
    "engine/golden",
    "engine/model",
    "engine/session",
    "engine/worker",
)
PUBLIC = (
    "openModel",
    "openSession",
    "openGraph",
    "runGraph",
    "readMessage",
    "replay",
    "runModel",
    "runModelAsync",
    "readInput",
    "preprocess",
    "decodeOutputs",
    "fromBase64",
    "toBase64",
    "fromManifest",
    "toManifest",
    "work",
    "OPERATORS",
)
_COMPILE = "'wasm-unsafe-eval'"  # allows WebAssembly to be compiled, but no eval
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)  # no string in the assets spans lines
_COMMENT = re.compile(r"^\s*(/\*\*.*?\*/|//[^\n]*)\n", re.DOTALL | re.MULTILINE)


def render(model: bytes, runtime: OrtWeb | None = None) -> bytes:
    """The page of an ONNX file with a manifest, run by the JavaScript engine or by ONNX Runtime.

    Its script contains the digests of all other parts, and its policy the script's: if a byte changes
    that a prediction depends on, the page makes no predictions.
    """
    header = onnx_bytes.read_header(model, name="the model")
    manifest = Manifest.from_json(header.metadata[onnx_bytes.MANIFEST_KEY], name="the model")
    contents = {ENGINE: engine().encode(), MODEL: model, PAGE: _main().encode()}
    contents[DATA] = _data(manifest).encode()
    if runtime is not None:
        contents |= {RUNTIME: runtime.script.encode(), WASM: runtime.wasm}
    blocks = {name: write_block(name, content) for name, content in contents.items()}
    texts = {
        "style": _unindent(load_asset("page.css")),
        "sections": _unindent(load_asset("sections.html")),
    }
    script = _boot(texts | {name: _inside(block) for name, block in blocks.items()})
    policy = (
        f"default-src 'none'; script-src {csp_hash(script)} {csp_hash(_main())}"
        f"{' ' + _COMPILE if runtime else ''};"
        f" style-src {csp_hash(texts['style'])};"
        " worker-src blob:; img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    runtimes = "".join(f"\n{blocks[name]}" for name in (RUNTIME, WASM) if name in blocks)
    fields = {
        **texts,
        **blocks,
        "runtime": runtimes,
        "policy": policy,
        "name": escape(manifest.model),
        "script": script,
    }
    page = re.sub(r"\{\{([a-z]+)\}\}", lambda match: fields[match[1]], _part("page.html"))
    return append_digest(HEAD + page)


def _data(manifest: Manifest) -> str:
    """The model's data and the translations that the page shows."""
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    reference = manifest.verification.get("reference", "eager float64")
    model = page_data(manifest, preprocessing) | {"reference": f"PyTorch ({reference})"}
    data = {"model": model, "words": translations(_part("words.json"))}
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _boot(texts: Mapping[str, str]) -> str:
    """The page's first script, in a block, so that it defines no global name."""
    digests = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}
    boot = _script("boot.js").replace("{{digests}}", json.dumps(digests))
    return f'"use strict";\n{{\n{_script("engine/blocks.js")}{boot}}}\n'


@cache
def _main() -> str:
    """The script of the user interface, which the first script runs."""
    common = _unindent(_COMMENT.sub("", load_asset("common.js")))
    return f'"use strict";\n{{\n{common}{_script("page.js")}}}\n'


def _inside(block: str) -> str:
    """The text between a block's tags."""
    return block[block.index(">") + 1 : block.rindex("<")]


@cache
def engine() -> str:
    """A script that defines `ptx`, which runs a model in a browser, a worker or a bare V8."""
    parts = "".join(_script(f"{part}.js") for part in PARTS)
    return (
        f'const ptx = (() => {{\n"use strict";\n{parts}return {{ {", ".join(PUBLIC)} }};\n}})();\n'
    )


def _script(name: str) -> str:
    """An asset without comments and indentation."""
    return _unindent(_COMMENT.sub("", _part(name)))


def _unindent(text: str) -> str:
    return _INDENT.sub("", text)


def _part(name: str) -> str:
    return files("ptx.export.formats.html").joinpath(name).read_text("utf-8")
