"""Measure ptx beside what it stands on, print one table, and exit with 1 where a limit is missed.

Run it through scripts/bench/run. Each row takes turns between the two sides in one run; the ratio is
the median of the rounds' ratios.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pairing import Missing, Result, table
from rows import SECTIONS
from setting import Setting, prepare

from ptx.infer.threads import settle_threads


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--rounds", type=int, default=9, help="of the short rows")
    parser.add_argument("--files", type=int, default=10_000, help="pictures in the folder")
    parser.add_argument("--photographs", type=int, default=24)
    parser.add_argument("--folder", type=Path, default=Path(".cache/bench"))
    options = parser.parse_args()
    # As ptx sets them, for what is measured beside it in this process.
    settle_threads()
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    setting = Setting(options.folder.resolve(), options.rounds, options.files, options.photographs)
    prepare(setting)
    results: list[Result] = []
    for name in options.only:
        for result in SECTIONS[name](setting):
            results.append(result)
            print(table([result]).splitlines()[-1], flush=True)
    print("\n" + table(results))
    return 1 if any(not isinstance(r, Missing) and r.holds is False for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
