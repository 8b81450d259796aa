"""ONNX files of others with task="raw" beside ONNX Runtime: refused, equal to the bit, different."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.infer.described.files.cases import FAMILIES
from tests.infer.described.files.judge import VERDICTS, judge


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--verbose", action="store_true", help="say of each file why it is not equal"
    )
    verbose = parser.parse_args().verbose
    total: Counter[str] = Counter()
    print(f"{'':16}", *(f"{verdict:>15}" for verdict in VERDICTS))
    with tempfile.TemporaryDirectory() as folder:
        for family in FAMILIES:
            count: Counter[str] = Counter()
            for case in family():
                verdict, why = judge(case, Path(folder) / "net.onnx")
                count[verdict] += 1
                if verbose and verdict != "equal":
                    print(f"    {case.name}: {verdict}: {why}")
            print(f"{family.__name__:16}", *(f"{count[verdict]:15}" for verdict in VERDICTS))
            total += count
    print(f"{'all':16}", *(f"{total[verdict]:15}" for verdict in VERDICTS))
    return int(bool(total["refused"] or total["different"]))


if __name__ == "__main__":
    raise SystemExit(main())
