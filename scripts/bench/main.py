"""Measure ptx beside what it stands on, print one table, and exit with 1 where a goal is missed.

Run it through scripts/bench/run. Each row takes turns between the two sides in one run; the ratio is
the median of the rounds' ratios. A row that fails says why, and the others are taken; then too the
program exits with 1.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pairing import Pending, Result, results, table
from predicting import cold_start, latency, throughput
from processes import exporting, folder, large_pictures, training
from scaling import ray_data
from serving import serving
from setting import FULL, QUICK, Setting, prepare

from ptx.infer.backends.threads import set_openmp_wait_policy

SECTIONS: dict[str, Callable[[Setting], Iterator[Pending]]] = {
    "cold-start": cold_start,
    "latency": latency,
    "folder": folder,
    "photographs": large_pictures,
    "throughput": throughput,
    "training": training,
    "export": exporting,
    "serve": serving,
    "ray": ray_data,
}


def main() -> int:
    options = _options()
    # As ptx sets them, for what is measured beside it in this process.
    set_openmp_wait_policy()
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    setting = Setting(options.folder.resolve(), QUICK if options.quick else FULL)
    prepare(setting)
    started = time.perf_counter()
    taken: list[Result] = []
    for name in options.only:
        for result in results(name, SECTIONS[name](setting), options.rows):
            taken.append(result)
            print(result, flush=True)
    print(f"\n{table(taken)}\n\n{(time.perf_counter() - started) / 60:.1f} minutes")
    return 1 if any(result.verdict.startswith("**") for result in taken) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only",
        nargs="+",
        metavar="NAME",
        choices=SECTIONS,
        default=list(SECTIONS),
        help=", ".join(SECTIONS),
    )
    parser.add_argument(
        "--rows",
        default="",
        metavar="PATTERN",
        help="only those whose text matches, such as 'Triton|MLServer'",
    )
    parser.add_argument("--quick", action="store_true", help="a rehearsal: little work, few rounds")
    parser.add_argument(
        "--folder", type=Path, default=Path(".cache/bench"), help="kept for the next run"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
