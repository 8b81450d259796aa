"""Fuzz the readers of ptx with Atheris: whatever the bytes are, an answer or an error of ptx.

Each target runs in a process of its own for a bounded time, with 10 seconds and 1 GiB for one input.
What breaks a target stands in .cache/fuzz afterwards, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ptx"]):
    from byte_readers import READERS, whole_files

    from ptx.infer.errors import PtxError

FOUND = Path(__file__).parents[2] / ".cache" / "fuzz"
SECONDS, MEGABYTES, BYTES = 10, 1024, 8192  # for one input


def fuzz(name: str, seconds: int) -> None:
    """Run one target in this process; libFuzzer ends it."""

    def target(data: bytes) -> None:
        message = ""
        try:
            READERS[name](data)
        except PtxError as error:
            message = str(error)
        assert message.isprintable()

    corpus = FOUND / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(whole_files()[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    limits = [f"-max_total_time={seconds}", f"-timeout={SECONDS}", f"-rss_limit_mb={MEGABYTES}",
              f"-max_len={BYTES}", f"-artifact_prefix={FOUND}/{name}-",
              "-print_final_stats=1"]  # fmt: skip
    atheris.Setup([sys.argv[0], *limits, str(corpus)], target)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default: 60)")
    parser.add_argument("--targets", default=",".join(READERS), help="default: %(default)s")
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
