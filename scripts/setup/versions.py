"""Run the tests of exports with the oldest and the newest versions that ptx allows.

Each set of versions gets an environment of its own; the sets are chosen so that each pair of (oldest,
newest) of torch, onnxscript, ONNX Runtime and NumPy occurs in one of them, with Python 3.11 to 3.13.
Prints one table and exits with 1 if a test fails: scripts/versions --output docs/reference/versions.md
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

from source_tree import ROOT, make_tree

TESTS = (
    "tests/export/test_model_contract.py",
    "tests/export/formats/test_formats.py",
    "tests/export/test_recurrent_shapes.py",
    "tests/infer/backends/test_backend_contract.py",
)
TEST_PACKAGES = ("click", "tqdm", "matplotlib", "filelock", "pytest", "hypothesis")  # the newest
SHOWN = ("torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "numpy", "pillow")
# The Python and the packages as `pip` takes them; those without a number are the newest. Pillow 13.0.0
# is both the oldest allowed and the newest.
OLDEST = (
    "torch==2.10.0 torchvision==0.25.0 onnx==1.22.0 onnxscript==0.7.1 onnxruntime==1.28.0"
    " numpy==2.0.0 pillow==13.0.0"
)
SETS = {
    "oldest": ("3.11", OLDEST),
    "old-torch": (
        "3.12",
        "torch==2.11.0 torchvision==0.26.0 onnx==1.23.1 onnxscript==0.7.2 onnxruntime numpy pillow",
    ),
    "no-torchvision": ("3.11", "torch==2.13.0 onnx onnxscript==0.7.1 onnxruntime numpy pillow"),
    "old-runtime": ("3.13", "torch torchvision onnx onnxscript onnxruntime==1.28.0 numpy pillow"),
    "old-numpy": ("3.12", "torch torchvision onnx onnxscript onnxruntime numpy==2.0.0 pillow"),
}
HEAD = """# Tested versions

These are the ends of the ranges in `pyproject.toml`: every pair of oldest and newest of torch,
onnxscript, ONNX Runtime and NumPy is in one row. Each ran, in its own environment:

"""
# Printed by the environment's own Python: the versions of Python and of the packages that are named.
PRINT_VERSIONS = """
import sys, platform, importlib.metadata as m
have = {d.metadata["Name"].lower(): d.version for d in m.distributions()}
print(platform.python_version(), *[have.get(name, "-") for name in sys.argv[1:]])
"""


def environment(name: str, folder: Path) -> Path:
    """The Python of a set's environment, which is made if it is missing or has other versions."""
    version, packages = SETS[name]
    place, stamp = folder / name, folder / name / "ptx-stamp"
    if not stamp.exists() or stamp.read_text() != packages:
        print(f"setting up {place}", file=sys.stderr)
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([find_python(version), "-m", "venv", str(place)], check=True)
        install = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *packages.split(), *TEST_PACKAGES], check=True)
        stamp.write_text(packages)
    return place / "bin" / "python"


def find_python(version: str) -> str:
    """A Python of that version: on the PATH, or one of pyenv's."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    for candidate in (f"python{version}", *map(str, pyenv.glob(f"{version}.*/bin/python3"))):
        if shutil.which(candidate):
            check = [candidate, "-c", "import venv"]
            if subprocess.run(check, capture_output=True, check=False).returncode == 0:
                return candidate
    raise SystemExit(f"Python {version} was not found: neither python{version} nor one of pyenv")


def run_tests(python: Path, folder: Path, select: str | None) -> str:
    """What pytest prints in one environment."""
    variables = os.environ | {
        "PYTHONPATH": str(make_tree(folder / "source")),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }
    options = ["-q", "-rfEs", "-p", "no:cacheprovider", "--show-capture=no"]
    options += ["-k", select] if select else []
    return subprocess.run(
        [str(python), "-m", "pytest", *options, *TESTS],
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    ).stdout


def format_row(name: str, python: Path, log: str) -> tuple[str, list[str]]:
    """The row of the table, and each reason to skip and each failure."""
    command = [str(python), "-c", PRINT_VERSIONS, *SHOWN]
    versions = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    counts, _, seconds = log.strip().rpartition("\n")[2].partition(" in ")
    cells = [name, *versions, counts, seconds.partition(".")[0]]
    remarks = re.findall(r"^(?:SKIPPED|FAILED|ERROR) .*$", log, re.MULTILINE)
    return f"| {' | '.join(cells)} |", remarks


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument(
        "--folder",
        type=Path,
        default=ROOT / ".cache" / "versions",
        help="of the environments, some 6 GB each",
    )
    parser.add_argument("--reuse", action="store_true", help="the last run's output, if any")
    parser.add_argument("--output", type=Path, help="the page (default: standard output)")
    parser.add_argument("--select", metavar="EXPR", help="a part of the tests, as pytest's -k")
    options = parser.parse_args()
    table, remarks = [], dict[str, list[str]]()
    for name in options.only:
        folder = options.folder.resolve()
        python, log = environment(name, folder), folder / f"{name}.log"
        if not (options.reuse and log.exists()):
            log.write_text(run_tests(python, folder, options.select))
        row, found = format_row(name, python, log.read_text())
        table.append(row)
        for remark in found:
            remarks.setdefault(remark, []).append(name)
    command = "scripts/versions" + (f' --select "{options.select}"' if options.select else "")
    machine = f"{platform.system()} {platform.machine()}, no GPU"
    about_run = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {machine}. Command: `{command}`."
    head = f"| set | Python | {' | '.join(SHOWN)} | tests | seconds |"
    tests = [f"- `{test}`" for test in TESTS]
    line = "|---" * (len(SHOWN) + 4) + "|"
    notes = [f"- {', '.join(names)}: {remark}" for remark, names in remarks.items()]
    text = "\n".join([*tests, "", about_run, "", head, line, *table, "", *notes])
    if options.output:
        options.output.write_text(f"{HEAD}{text}\n")
    else:
        print(f"{HEAD}{text}")
    return int(any("passed" not in row or "failed" in row or "error" in row for row in table))


if __name__ == "__main__":
    sys.exit(main())
