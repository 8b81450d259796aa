"""Which runtime a page carries where nobody says it: by its operators, and how much they compute."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cache
from typing import Final

from ptx.export.page.flop import count_flop
from ptx.export.page.page import engine
from ptx.export.page.runtime import find_runtime
from ptx.infer.backends.javascript.hosts import open_host
from ptx.infer.errors import AgreementError, BackendError
from ptx.infer.signature import BATCH, Signature

PLAIN, ORT = "javascript", "ort"
MOST: Final = (
    20_000_000  # floating-point operations of a row that plain JavaScript is quick enough for
)
LENGTH: Final = 28  # of an axis that is free: a word, or the lines of a digit


@dataclass(frozen=True)
class Choice:
    """A runtime, and why.

    Attributes:
        warning: What speaks against it; empty where nothing does.
    """

    runtime: str
    reason: str
    warning: str = ""


def choose_runtime(content: bytes, signature: Signature) -> Choice:
    """Plain JavaScript for small graphs of its operators, else ONNX Runtime where it is at hand.

    Args:
        content: An ONNX file.

    Raises:
        AgreementError: an operator that plain JavaScript lacks, and ONNX Runtime is not at hand.
        BackendError: nothing here runs JavaScript.
    """
    missing, flop = _missing_operators(content), count_flop(content, row_sizes(signature))
    cost = "an unknown number of operations" if flop is None else f"{flop / 1e6:.1f} MFLOP a row"
    if not missing and flop is not None and flop <= MOST:
        return Choice(PLAIN, f"{cost}, at most {MOST / 1e6:.0f}")
    named = ", ".join(missing)
    against = (
        f"plain JavaScript lacks {named}" if missing else f"{cost} are slow in plain JavaScript"
    )
    absent = _why_absent()
    if not absent:
        return Choice(ORT, against)
    if missing:
        raise AgreementError(
            f"a page does not compute the operator {named} in plain JavaScript, and {absent}"
        )
    return Choice(PLAIN, "it has all operators", f"{against}, and {absent}")


def row_sizes(signature: Signature) -> dict[str, int]:
    """The size of each free axis of the row that is counted."""
    return dict.fromkeys(signature.dynamic_axes, LENGTH) | {BATCH: 1}


def _why_absent() -> str:
    """What `--runtime ort` lacks here; nothing where it is at hand."""
    try:
        find_runtime()
    except BackendError as error:
        return str(error)
    if shutil.which("node") is None:
        return (
            "--runtime ort needs Node.js for its proof: apt-get install nodejs, https://nodejs.org"
        )
    return ""


def _missing_operators(content: bytes) -> list[str]:
    """The operators of a graph that plain JavaScript has not."""
    import onnx

    nodes = onnx.load_from_string(content).graph.node
    used = {
        node.op_type if node.domain in ("", "ai.onnx") else f"{node.domain}:{node.op_type}"
        for node in nodes
    }
    return sorted(used - _operators())


@cache
def _operators() -> frozenset[str]:
    """What the page's own engine computes, as it says itself."""
    host = open_host()
    try:
        host.run(
            f"{engine()}const listOperators = () => JSON.stringify(Object.keys(ptx.OPERATORS));"
        )
        return frozenset(json.loads(host.call("listOperators", "")))
    finally:
        host.close()
