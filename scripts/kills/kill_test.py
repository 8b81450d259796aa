"""Kill `ptx train`, `export` and `predict --output` at random moments and check what is on the disk.

Half of the kills fall at any moment, half while a file is being written. After each one every file that
was there must still be whole, or the new one must be; a resumed training must end with the weights of a
run that was left alone. Full disks, and two processes at once, are tried too. Exit code 1 on any loss.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from parts import Row, collide, fill_disks, kill_exports, kill_predictions, kill_training
from place import Place, prepare

os.environ |= {"OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="in all (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--parts", default="train,export,predict,disks,pairs",
                        help="some of these, with commas (default: %(default)s)")  # fmt: skip
    options = parser.parse_args()
    parts = options.parts.split(",")
    dice = random.Random(options.seed)  # noqa: S311 - no secret is made of it
    # Not a TemporaryDirectory: a verb would take it away when it ends, as it has inherited it.
    root = tempfile.mkdtemp(prefix="ptx-kill-")
    try:
        place = Place(Path(root))
        prepare(place, options.seed)
        killed = [part for part in ("train", "train", "export", "predict") if part in parts]
        share = {part: options.kills * killed.count(part) // len(killed) for part in set(killed)}
        rows = []
        if "train" in parts:
            rows.append(kill_training(place, share["train"], dice))
        if "export" in parts:
            rows.append(kill_exports(place, share["export"], dice))
        if "predict" in parts:
            rows.append(kill_predictions(place, share["predict"], dice))
        if "disks" in parts:
            rows.append(fill_disks(place))
        if "pairs" in parts:
            rows.append(collide(place, max(1, options.kills // 40)))
        return report(rows)
    finally:
        shutil.rmtree(root)


def report(rows: Sequence[Row]) -> int:
    """Print the table; 1 where something was lost."""
    lost = sum(len(row.losses) for row in rows)
    kills = sum(row.counts["kills"] for row in rows)
    for row in rows:
        counts = ", ".join(f"{count} {what}" for what, count in row.counts.items())
        print(f"{row.what + ':':20}{counts}; lost {len(row.losses)}")
    print(f"{kills} kills, files lost: {lost}")
    for row in rows:
        for loss in row.losses:
            print(f"LOST {loss}", file=sys.stderr)
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
