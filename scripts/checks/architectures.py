"""The table of public architectures: exported by ptx and plainly, both files checked, and the time.

`python scripts/checks/architectures.py --output docs/reference/architectures.md`

Each architecture of torchvision, timm, segmentation_models.pytorch and transformers is measured by
`one_architecture.py` in a process of its own, the smallest first. Results are appended to a file of
JSON lines, and what is in it is not measured again, so that a run can be interrupted and continued.
For Linux; needs `timm`, `segmentation-models-pytorch` and `transformers`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

WORKER = Path(__file__).with_name("one_architecture.py")
NAMES = Path(__file__).with_name("architectures.txt")
RECORDS = Path(".cache/architectures.jsonl")
MAX_MEMORY = 3 * 10**9  # bytes of resident memory of one process
MAX_SECONDS = 900  # of CPU time of one process
POLL_SECONDS = 0.2
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}

HEADER = """\
# Architectures

Public architectures with random weights, exported with `ptx.export.export` and with a plain
`torch.onnx.export`. Each file is then run by ONNX Runtime on new random inputs of another batch size
(and length, for texts) and compared with the eager network; ptx's own proof has no part in this.

- **right**: the largest difference is at most 0.1 % of the network's largest output.
- **wrong**: it is larger, or ONNX Runtime does not run the file.
- **refused**: ptx wrote no file; the message follows.
- **fails**: an error that is not one of ptx.
- **stopped**: more than {memory:g} GB or {seconds} s.

Seconds are CPU time of all threads, with one thread for PyTorch, after a first export of a tiny
network in the same process. The time of ptx includes the proof. Networks of transformers have two
narrow layers.

{measured} of the {listed} networks in scripts/checks/architectures.txt so far.
Measured {dates} with {versions}:

```sh
python scripts/checks/architectures.py --output docs/reference/architectures.md
```

"""


def list_architectures() -> list[dict[str, Any]]:
    """All names with their numbers of parameters, the smallest first."""
    done = subprocess.run(
        [sys.executable, str(WORKER), "--list"],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    return sorted(found, key=lambda each: int(each["parameters"]))


def measure(architecture: dict[str, Any]) -> dict[str, Any]:
    """The record of one architecture, from a process that is stopped at the limits."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_CPU, (MAX_SECONDS, MAX_SECONDS))

    with subprocess.Popen(
        [sys.executable, str(WORKER), architecture["name"]],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        preexec_fn=limit,
    ) as process:
        exceeded = False
        while process.poll() is None:
            if resident_bytes(process.pid) > MAX_MEMORY:
                exceeded = True
                process.kill()
            time.sleep(POLL_SECONDS)
        assert process.stdout is not None
        output = process.stdout.read()
    record = {**architecture, "date": datetime.now(UTC).date().isoformat()}
    if process.returncode == 0:
        return {**record, **json.loads(output)}
    reason = f"exit code {process.returncode}"
    if exceeded:
        reason = f"more than {MAX_MEMORY / 1e9:g} GB"
    elif process.returncode < 0:
        reason = f"signal {-process.returncode}, after at most {MAX_SECONDS} s"
    return {**record, "stopped": reason}


def resident_bytes(pid: int) -> int:
    """The resident memory of a process; 0 if it has ended."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def outcome(record: dict[str, Any]) -> str:
    """`right`, or what else became of the export with ptx."""
    return str(record["ptx"]["outcome"] if "ptx" in record else f"stopped: {record['stopped']}")


def ratio(record: dict[str, Any]) -> float | None:
    """The time of ptx as a multiple of the plain export's; None unless both files are right."""
    if "ptx" not in record or {record[one]["outcome"] for one in ("ptx", "plain")} != {"right"}:
        return None
    return float(record["ptx"]["seconds"] / record["plain"]["seconds"])


def page(records: Sequence[dict[str, Any]]) -> str:
    """The page: conditions, counts by library, and the table."""
    dates = sorted({record["date"] for record in records})
    versions: dict[str, set[str]] = {}
    for record in records:
        for package, version in record.get("versions", {}).items():
            versions.setdefault(package, set()).add(version)
    text = HEADER.format(
        memory=MAX_MEMORY / 1e9,
        seconds=MAX_SECONDS,
        measured=len(records),
        listed=len(NAMES.read_text().split()),
        dates=dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}",
        versions=", ".join(f"{name} {' and '.join(sorted(versions[name]))}" for name in versions),
    )
    return text + "\n".join([*summary(records), "", *table(records)]) + "\n"


def summary(records: Sequence[dict[str, Any]]) -> Iterable[str]:
    """Counts of outcomes and the median ratio of times, by library and in total."""
    yield "| library | networks | right | refused | wrong | fails or stopped | median ratio |"
    yield "|---|---:|---:|---:|---:|---:|---:|"
    libraries = sorted({library(record) for record in records})
    for name, members in (
        *((one, [record for record in records if library(record) == one]) for one in libraries),
        ("all", records),
    ):
        counts = Counter(outcome(record).partition(":")[0] for record in members)
        ratios = [one for record in members if (one := ratio(record)) is not None]
        median = f"{statistics.median(ratios):.1f}" if ratios else ""
        yield (
            f"| {name} | {len(members)} | {counts['right']} | {counts['refused']} | {counts['wrong']} |"
            f" {counts['fails'] + counts['stopped']} | {median} |"
        )


def table(records: Sequence[dict[str, Any]]) -> Iterable[str]:
    """A row for each architecture, the smallest first."""
    yield "| name | library | parameters | ptx | ptx, s | plain export | plain, s | ratio |"
    yield "|---|---|---:|---|---:|---|---:|---:|"
    for record in sorted(records, key=lambda each: int(each["parameters"])):
        plain = record.get("plain", {"outcome": "", "seconds": None})
        seconds = [
            "" if one is None else f"{one:.1f}"
            for one in (record.get("ptx", {}).get("seconds"), plain["seconds"], ratio(record))
        ]
        cells = [
            record["name"].partition(":")[2],
            library(record),
            f"{record['parameters']:,}",
            outcome(record),
            seconds[0],
            plain["outcome"],
            *seconds[1:],
        ]
        yield f"| {' | '.join(escape(cell) for cell in cells)} |"


def library(record: dict[str, Any]) -> str:
    return str(record["name"].partition(":")[0])


def escape(text: str) -> str:
    """As text of a table's cell."""
    return text.replace("|", "\\|").replace("<", "&lt;")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", metavar="PATTERN", default="", help="a regular expression")
    parser.add_argument(
        "--budget-minutes",
        type=float,
        metavar="N",
        default=float("inf"),
        help="no further network is started after N minutes; 0 only writes the table",
    )
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="of Markdown")
    parser.add_argument("--records", type=Path, default=RECORDS, metavar="FILE", help="results")
    options = parser.parse_args(arguments)
    end = time.monotonic() + 60 * options.budget_minutes
    options.records.parent.mkdir(parents=True, exist_ok=True)
    options.records.touch()
    records = [json.loads(line) for line in options.records.read_text().splitlines()]
    done = {record["name"] for record in records}
    for architecture in list_architectures() if options.budget_minutes else []:
        name = architecture["name"]
        if name in done or not re.search(options.only, name):
            continue
        if time.monotonic() > end:
            break
        records.append(measure(architecture))
        with options.records.open("a") as file:
            file.write(json.dumps(records[-1]) + "\n")
        print(f"{name}: {outcome(records[-1])}", flush=True)
    if records:
        options.output.write_text(page(records))
    return int(any(outcome(record).startswith(("wrong", "fails")) for record in records))


if __name__ == "__main__":
    raise SystemExit(main())
