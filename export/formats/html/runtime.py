"""ONNX Runtime's WebAssembly for a page: found where npm put it, checked by digest, not fetched."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ptx.infer.errors import BackendError

FOLDER_VARIABLE: Final = (
    "PTX_ORT_WEB"  # the folder of the two files, if it is not found automatically
)
VERSION: Final = "1.30.0"
FILES: Final = {  # of VERSION's dist/, with their sha256
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
_DIST = Path("node_modules", "onnxruntime-web", "dist")
_EXPORTS = re.compile(r"export\{([^}]*)\};\s*(?://# sourceMappingURL=\S*\s*)?$")
_USED = ("InferenceSession", "Tensor", "env")


@dataclass(frozen=True)
class OrtWeb:
    """The files of onnxruntime-web in a page.

    Attributes:
        script: Declares `ort`; made from npm's module.
        wasm: The unchanged file.
    """

    script: str
    wasm: bytes


def find_runtime() -> OrtWeb:
    """The files of onnxruntime-web, from PTX_ORT_WEB or the nearest node_modules.

    Raises:
        BackendError: they are missing, or not of the tested version.
    """
    folder = _find_folder()
    contents = [_read(folder / name, digest) for name, digest in FILES.items()]
    return OrtWeb(_as_script(contents[0].decode()), contents[1])


def _find_folder() -> Path:
    if named := os.environ.get(FOLDER_VARIABLE):
        return Path(named)
    here = Path.cwd()
    found = (folder / _DIST for folder in (here, *here.parents) if (folder / _DIST).is_dir())
    return next(found, here / _DIST)


def _read(path: Path, digest: str) -> bytes:
    remedy = (
        f"`npm install onnxruntime-web@{VERSION}` in this folder or one above it, or set"
        f" {FOLDER_VARIABLE} to the folder of its dist"
    )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BackendError(
            f"--runtime ort needs onnxruntime-web, and {path} cannot be read: {error.strerror}; {remedy}"
        ) from error
    if (actual := hashlib.sha256(content).hexdigest()) != digest:
        raise BackendError(
            f"{path} is not that of onnxruntime-web {VERSION}: its sha256 is {actual}; expected"
            f" {digest}; {remedy}"
        )
    return content


def _as_script(module: str) -> str:
    """The module as a script, since a page under `file://` cannot start a worker from a module.

    Its exports become the object `ort`. Its own address, with which it locates other files, becomes one
    that does not exist.
    """
    match = _EXPORTS.search(module)
    assert match is not None  # its digest is known
    names = {name: local for local, name in (pair.split(" as ") for pair in match[1].split(","))}
    exports = ", ".join(f"{name}: {names[name]}" for name in _USED)
    body = module[: match.start()].replace("import.meta.url", '"https://page.invalid/ort.mjs"')
    return f"const ort = (() => {{\n{body}\nreturn {{ {exports} }};\n}})();\n"
