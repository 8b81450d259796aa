"""MNIST's 10,000 test pictures through a page in real browsers: the labels and scores of ort-cpu?

    ./scripts/run browsers/labels --page X.html --onnx X.onnx --mnist DIR

The pictures' pixels go to a worker of the page's own blocks, started in the page as the page starts its
own, so that what is counted is what it computes and not how fast a file is opened.
"""

from __future__ import annotations

import argparse
import base64
import gzip
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from opened import NAMES, Browser, opened

from ptx import infer
from ptx.infer.artifact.html_page import ENGINE, RUNTIME, WASM, has_block, read_block

ROWS = 500  # of one question
OPEN = """
const [script, hasWasm] = arguments;
const text = (id) => document.getElementById(id)?.textContent ?? null;
const found = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
const answers = new Map();
found.onmessage = ({ data }) => answers.get(data.id)(data);
let count = 0;
const holder = document.body;
holder.ptxAsk = (act, given) => new Promise((done) => {
  answers.set(count += 1, done);
  found.postMessage({ id: count, act, given });
});
const blocks = { packed: text("model"), wasm: hasWasm ? text("wasm") : null };
const opened = await holder.ptxAsk("open", blocks);
if (opened.error) throw new Error(opened.error.message);
return opened.value.samples;
"""
ASK = """
const [packed] = arguments;
const pixels = Uint8Array.from(atob(packed), (char) => char.charCodeAt(0));
const answers = [];
for (let row = 0; row < pixels.length / 784; row += 1) {
  const data = new Uint8ClampedArray(4 * 784);
  for (let at = 0; at < 784; at += 1) {
    const gray = pixels[row * 784 + at];
    data.set([gray, gray, gray, 255], 4 * at);
  }
  const { value, error } = await document.body.ptxAsk("ask", { width: 28, height: 28, data });
  const [best] = value?.ranking ?? [];
  answers.push(best ? [best.label, best.score] : [error.word ?? error.message, 0]);
}
return answers;
"""


def read_rows(folder: Path) -> Any:
    """uint8 (10000, 28, 28)."""
    content = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(content, np.uint8)[16:].reshape(-1, 28, 28)


def ask_page(browser: Browser, page: Path, rows: Any) -> list[tuple[str, float]]:
    """What the page answers to each row: its label, or why there is none, and its score."""
    content = page.read_bytes()
    compiled = has_block(content, WASM)
    blocks = (ENGINE, RUNTIME) if compiled else (ENGINE,)
    script = "".join(read_block(content, block, name=page.name).decode() for block in blocks)
    browser.show(page)
    browser.run(OPEN, f"{script}ptx.work(self);", compiled)
    answers: list[tuple[str, float]] = []
    for start in range(0, len(rows), ROWS):
        packed = base64.b64encode(rows[start : start + ROWS].tobytes()).decode()
        answers += [(label, score) for label, score in browser.run(ASK, packed)]
    return answers


def answer_here(onnx: Path, rows: Any) -> list[tuple[str, float]]:
    """The same of ONNX Runtime."""
    answers = []
    with infer.load(onnx, backend="ort-cpu") as predictor:
        for row in rows:
            try:
                answer = predictor.predict(row)
                answers.append((str(answer.label), float(answer.score or 0)))
            except infer.InputError as error:
                answers.append((error.code, 0.0))
    return answers


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--page", type=Path, required=True)
    parser.add_argument("--onnx", type=Path, required=True)
    parser.add_argument("--mnist", type=Path, required=True, help="the folder of MNIST's files")
    parser.add_argument("--browser", action="append", choices=NAMES)
    options = parser.parse_args()
    rows = read_rows(options.mnist)
    expected, differ = answer_here(options.onnx, rows), 0
    for name in options.browser or NAMES:
        begun = time.perf_counter()
        with opened(name) as browser:
            got = ask_page(browser, options.page, rows)
        pairs = list(zip(got, expected, strict=True))
        unlike = sum(one[0] != other[0] for one, other in pairs)
        error = max(abs(one[1] - other[1]) for one, other in pairs)
        seconds = time.perf_counter() - begun
        print(f"{name}: {len(rows):,} pictures, {unlike} other labels, scores off by at most"
              f" {error:.1e}, {seconds:.0f} s")  # fmt: skip
        differ += unlike
    return int(differ > 0)


if __name__ == "__main__":
    sys.exit(main())
