"""Fuzz the readers of ptx with Atheris: whatever the bytes are, an answer or an error of ptx.

Each target runs in a process of its own for a bounded time, with 10 seconds and 1 GiB for one input.
What breaks a target stands in .cache/fuzz afterwards, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import atheris
import numpy as np

with atheris.instrument_imports(include=["ptx"]):
    from ptx.infer import image, npy, onnx_file, table, zip_archive
    from ptx.infer.artifact import parse_artifact
    from ptx.infer.card import Card, GoldenSample
    from ptx.infer.errors import PtxError
    from ptx.infer.preprocessing import open_preprocessing
    from ptx.infer.signature import Signature

ROOT = Path(__file__).parents[1]
FOUND = ROOT / ".cache" / "fuzz"
SECONDS, MEGABYTES, BYTES = 10, 1024, 8192  # for one input

WORDS = Signature.from_data({
    "inputs": {"name": ["int64", ["batch", "time"], [0, 127]],
               "lengths": ["int64", ["batch"], [1, "time"]]},
    "outputs": {"logits": ["float32", ["batch", 2]]},
})  # fmt: skip
COLUMNS = Signature.from_data({
    "inputs": {"x": ["float32", ["batch", 1]]}, "outputs": {"y": ["float32", ["batch", 1]]},
})  # fmt: skip
NAMES = open_preprocessing({"kind": "text", "normalise": "NFKD", "unknown": 1}, WORDS)
NUMBERS = open_preprocessing({"kind": "columns", "names": ["x"]}, COLUMNS)
CARD = Card(
    model="double", task="regression", signature=COLUMNS,
    preprocessing={"kind": "columns", "names": ["x"], "mean": [0.5], "std": [2.0]},
    golden=(GoldenSample({"x": np.ones((1, 1), np.float32)}, {"y": np.ones((1, 1))}, {"y": 1e-6}),),
)  # fmt: skip


def read_card(data: bytes) -> None:
    """A card, and what it says of the preprocessing; its own JSON is a card again."""
    card = Card.from_json(data, name="x")
    open_preprocessing(card.preprocessing, card.signature)
    again = Card.from_json(card.to_json().encode(), name="x")
    assert again.to_json() == card.to_json()


def read_onnx(data: bytes) -> None:
    header = onnx_file.read_header(data, name="x")
    onnx_file.seal_holds(data, header)


def read_zip(data: bytes) -> None:
    archive = zip_archive.read_archive(data, name="x")
    assert sum(map(len, archive.members.values())) <= len(data) + 2**26
    zip_archive.seal_holds(data)


def read_model(data: bytes) -> None:
    artifact = parse_artifact(data, path=Path("x"))
    artifact.require_card()


def read_array(data: bytes) -> None:
    array = npy.read_npy(data, name="x")
    assert array.nbytes <= len(data)
    assert array.flags.c_contiguous
    assert array.dtype.isnative


def read_table(data: bytes) -> None:
    for _, row in table.read_rows(data, name="x"):
        assert isinstance(row, PtxError) or np.isfinite(row).all()
    table.read_table(data, name="x")


def read_name(data: bytes) -> None:
    codes = NAMES.read(data.decode("utf-8", "surrogateescape"))
    assert len(codes)
    assert ((codes >= 0) & (codes < 128)).all()


def read_number(data: bytes) -> None:
    assert np.isfinite(NUMBERS.read(data.decode("utf-8", "surrogateescape"))).all()


def read_picture(data: bytes) -> None:
    assert min(image.decode(data).size) > 0


def seeds() -> dict[str, list[bytes]]:
    """Whole files that the fuzzer changes."""
    card = CARD.to_json()
    onnx = (ROOT / "cli" / "probe.onnx").read_bytes()  # with a card and a seal
    plain = io.BytesIO()
    with zipfile.ZipFile(plain, "w") as archive:
        for name in ("data.pkl", "version", "data/0", "constants.pkl", "code/x.py"):
            archive.writestr(f"a/{name}", b"x" * 9)
    sealed = zip_archive.attach(plain.getvalue(), card)
    arrays = [io.BytesIO() for _ in range(3)]
    for target, array in zip(
        arrays, (np.zeros((2, 3), ">f4"), np.arange(4), np.ones((2, 2), order="F")), strict=True
    ):
        np.save(target, array)
    pictures = [path.read_bytes() for path in sorted((ROOT / "tests" / "pictures").glob("mnist*"))]
    return {
        "card": [card.encode()],
        "onnx": [onnx],
        "zip": [plain.getvalue(), sealed],
        "model": [onnx, sealed],
        "array": [target.getvalue() for target in arrays],
        "table": [b"a,b\n1,2.5\n-3e4,.5\n", b'"1","2"\r\n3,4'],
        "name": ["Müller".encode(), b"O'Brien"],
        "number": [b"4.0", b"-1e3,5"],
        "picture": pictures,
    }


TARGETS: dict[str, Callable[[bytes], None]] = {
    "card": read_card, "onnx": read_onnx, "zip": read_zip, "model": read_model,
    "array": read_array, "table": read_table, "name": read_name, "number": read_number,
    "picture": read_picture,
}  # fmt: skip


def fuzz(name: str, seconds: int) -> None:
    """Run one target in this process; libFuzzer ends it."""

    def target(data: bytes) -> None:
        message = ""
        try:
            TARGETS[name](data)
        except PtxError as error:
            message = str(error)
        assert message.isprintable()

    corpus = FOUND / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}",
              f"-max_len={BYTES}", f"-artifact_prefix={FOUND}/{name}-",
              "-print_final_stats=1"]  # fmt: skip
    atheris.Setup([sys.argv[0], *limits, str(corpus)], target)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--targets", default=",".join(TARGETS), help="default: %(default)s")
    parser.add_argument("--here", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        fuzz(options.here, options.seconds)
    broken = 0
    for name in options.targets.split(","):
        command = [sys.executable, __file__, "--here", name, "--seconds", str(options.seconds)]
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False
        )
        inputs = re.search(r"number_of_executed_units: *(\d+)", done.stderr)
        count = int(inputs[1]) if inputs else 0
        holds = done.returncode == 0 and count > 0
        broken += not holds
        print(f"{name:10}{count:>12,} inputs  {'holds' if holds else 'BROKEN'}", flush=True)
        if not holds:
            print(done.stderr[-4000:], file=sys.stderr)
    print(f"findings: {broken}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
