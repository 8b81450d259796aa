"""Run the tests that prove exports with the oldest and the newest versions that ptx allows.

Each set of versions gets an environment of its own; the sets are chosen so that each pair of (oldest,
newest) of torch, onnxscript, ONNX Runtime and NumPy occurs in one of them, with Python 3.11 to 3.13.
Prints one table and exits with 1 where a test fails:
scripts/versions --output docs/reference/versions.md
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from source_tree import ROOT, make_tree

TESTS = (
    "tests/export/test_model_contract.py",
    "tests/export/formats/test_formats.py",
    "tests/export/formats/test_recurrent.py",
    "tests/infer/backends/test_backend_contract.py",
)
BESIDE = ("click", "tqdm", "matplotlib", "pytest", "hypothesis")  # which the tests need, the newest
SHOWN = ("torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow")
# The Python and, as `pip` takes them, the packages; without a number the newest. Pillow 13.0.0 is both
# the oldest allowed and the newest.
OLDEST = (
    "torch==2.10.0 torchvision==0.25.0 onnx==1.22.0 onnxscript==0.7.1"
    " onnxruntime==1.28.0 numpy==2.0.0 pillow==13.0.0"
)
OLD_TORCH = (
    "torch==2.11.0 torchvision==0.26.0 onnx==1.23.1 onnxscript==0.7.2 onnxruntime numpy pillow"
)
SETS = {
    "oldest": ("3.11", OLDEST),
    "old-torch": ("3.12", OLD_TORCH),
    "no-torchvision": ("3.11", "torch==2.13.0 onnx onnxscript==0.7.1 onnxruntime numpy pillow"),
    "old-runtime": ("3.13", "torch torchvision onnx onnxscript onnxruntime==1.28.0 numpy pillow"),
    "old-numpy": ("3.12", "torch torchvision onnx onnxscript onnxruntime numpy==2.0.0 pillow"),
}


@dataclass
class Outcome:
    """What one set gave."""

    versions: dict[str, str]
    seconds: float
    counts: Counter[str] = field(default_factory=Counter)  # of passed, skipped, failed
    failures: list[str] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)  # why tests were skipped

    @property
    def verdict(self) -> str:
        return ", ".join(f"{count} {what}" for what, count in self.counts.items() if count)


def environment(name: str, folder: Path) -> Path:
    """The Python of a set's environment, made where it is missing or was made for other versions."""
    python, wanted = SETS[name]
    place, stamp = folder / name, folder / name / "ptx-stamp"
    if not stamp.exists() or stamp.read_text() != wanted:
        print(f"setting up {place}", file=sys.stderr)
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([find_python(python), "-m", "venv", str(place)], check=True)
        install = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *wanted.split(), *BESIDE], check=True)
        stamp.write_text(wanted)
    return place / "bin" / "python"


def find_python(version: str) -> str:
    """A Python of that version: on the PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (f"python{version}", *map(str, pyenv.glob(f"{version}.*/bin/python3"))):
        if (
            shutil.which(candidate)
            and not subprocess.run(
                [candidate, "-c", "import venv"], capture_output=True, check=False
            ).returncode
        ):
            return candidate
    raise SystemExit(f"there is no Python {version} here: neither python{version} nor one of pyenv")


def run_tests(python: Path, report: Path, select: str | None) -> None:
    """The contract in one environment; leaves pytest's report."""
    variables = os.environ | {
        "PYTHONPATH": str(make_tree(report.parent / "source")),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    report.unlink(missing_ok=True)
    subprocess.run(
        [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--show-capture=no",
            f"--junitxml={report}",
            *TESTS,
            *(["-k", select] if select else []),
        ],
        cwd=ROOT,
        env=variables,
        stdout=sys.stderr,
        check=False,
    )


def read_report(python: Path, report: Path) -> Outcome:
    """What the tests of an environment gave."""
    (suite,) = ElementTree.parse(report).getroot().iter("testsuite")  # noqa: S314 - pytest's own
    outcome = Outcome(versions(python), float(suite.get("time", "nan")))
    for case in suite.iter("testcase"):
        _count(case, outcome)
    return outcome


def _count(case: ElementTree.Element, outcome: Outcome) -> None:
    skipped = case.find("skipped")
    if skipped is not None:
        outcome.counts["skipped"] += 1
        outcome.reasons[skipped.get("message", "")] += 1
    elif case.find("failure") is not None or case.find("error") is not None:
        outcome.counts["failed"] += 1
        outcome.failures.append(case.get("name", ""))
    else:
        outcome.counts["passed"] += 1


def versions(python: Path) -> dict[str, str]:
    """Python's own and those of SHOWN; none where a package is not there."""
    code = (
        "import sys, platform, importlib.metadata as m\n"
        "print('Python', platform.python_version())\n"
        "have = {d.metadata['Name'].lower(): d.version for d in m.distributions()}\n"
        "[print(name, have.get(name, '-')) for name in sys.argv[1:]]"
    )
    told = subprocess.run([python, "-c", code, *SHOWN], check=True, capture_output=True, text=True)
    return dict(line.split() for line in told.stdout.splitlines())


def page(outcomes: dict[str, Outcome], select: str | None) -> Iterator[str]:
    command = "scripts/versions" + (f' --select "{select}"' if select else "")
    part = " Of these the part that `--select` names was run." if select else ""
    yield "# The versions that ptx was run with\n"
    yield (
        "`pyproject.toml` allows a range of each library. These are its ends: every pair of oldest and"
        " newest of torch,\nonnxscript, ONNX Runtime and NumPy is in one of the rows. Each ran the tests"
        " that prove exports, every model, format\nand backend, in an environment of its own:\n"
    )
    yield "\n".join(f"- `{test}`" for test in TESTS)
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    machine = f"{platform.system()} {platform.machine()}, no GPU"
    yield f"\n{today}, {machine}. Command: `{command}`.{part}\n"
    yield "| set | Python | " + " | ".join(SHOWN) + " | tests | seconds |"
    yield "|---" * (len(SHOWN) + 4) + "|"
    for name, outcome in outcomes.items():
        cells = [name, *outcome.versions.values(), outcome.verdict, f"{outcome.seconds:.0f}"]
        yield f"| {' | '.join(cells)} |"
    for name in (name for name in SETS if name not in outcomes):
        python, wanted = SETS[name]
        yield f"| {name} | {python} |{' |' * len(SHOWN)} not run yet: `{wanted}` | |"
    yield ""
    for name, outcome in outcomes.items():
        for reason, count in outcome.reasons.items():
            yield f"- {name}: {count} skipped: {reason}"
        for failure in outcome.failures:
            yield f"- {name}: **failed**: `{failure}`"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / ".cache" / "versions",
        help="of the environments, some 6 GB each",
    )
    parser.add_argument(
        "--reuse",
        action="store_true",
        help="make the page of the last run's reports where there are any",
    )
    parser.add_argument("--output", type=Path, help="the page (default: standard output)")
    parser.add_argument("--select", metavar="EXPR", help="a part of the tests, as pytest's -k")
    options = parser.parse_args()
    folder = options.folder.resolve()
    outcomes = {}
    for name in options.only:
        python, report = environment(name, folder), folder / f"{name}.xml"
        if not (options.reuse and report.exists()):
            run_tests(python, report, options.select)
        outcomes[name] = read_report(python, report)
    text = "\n".join(page(outcomes, options.select)) + "\n"
    if options.output:
        options.output.write_text(text)
    else:
        print(text)
    return 1 if any(outcome.failures for outcome in outcomes.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
