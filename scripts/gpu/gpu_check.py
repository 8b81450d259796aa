"""Run ptx on an NVIDIA GPU and write one page: doctor, agreement, faults, speed, training, all models.

Writes gpu.md, gpu.json and gpu.log into a folder, anew after each row. A row that fails is one line, and
the others follow; each part has a share of the time. Without a CUDA device it runs through on the CPU
and says which rows are skipped; likewise where ONNX Runtime alone finds a device. It needs no network:
the models train on the digits that ptx carries, or on MNIST under PTX_DATA (--data mnist).
onnxruntime-gpu may stand on PYTHONPATH.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import agreement
import faults
import speed
import torch
import training
from gpu_setting import FIRST, Setting, make_pool, run_ptx
from page import Page

from ptx.models import CATALOG
from ptx.report.measurement import machine

PACKAGES = ("torch", "torchvision", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "numpy")
_CUDA_VERSIONS = ("built_for", "driver", "runtime", "cudnn", "cudnn_built_for")


def measure_doctor(page: Page, setting: Setting) -> None:
    """What `ptx doctor` says: which backends work, and with which CUDA libraries."""
    done = run_ptx("doctor", "--json")
    if done.returncode:
        raise RuntimeError(done.stderr)
    backends = [json.loads(line) for line in done.stdout.splitlines()]
    page.section(
        *("`ptx doctor`", "backend", "works", "where, or why not", "CUDA built for"),
        *("driver up to", "runtime", "cuDNN", "its CUDA"),
    )
    for one in backends:
        loaded = one["cuda"] or {}
        versions = [loaded.get(key) or "-" for key in _CUDA_VERSIONS]
        page.add(one["backend"], ("yes" if one["works"] else "no", one["detail"], *versions))
    for problem in backends[0]["problems"]:
        page.add("the CUDA libraries", ("no", problem))


# What is measured, in this order, and its share of the time: what it leaves goes to those after it.
SECTIONS: dict[str, tuple[Callable[[Page, Setting], None], float]] = {
    "doctor": (measure_doctor, 0.1),
    "prepare": (agreement.prepare, 0.1),
    "agreement": (agreement.measure, 0.25),
    "faults": (faults.measure, 0.25),
    "speed": (speed.measure, 0.2),
    "training": (training.measure, 0.25),
    "all-models": (agreement.measure_others, 0.25),
}


def head() -> str:
    """Title, device, driver, versions, date and command."""
    if torch.cuda.is_available():
        device = f"{torch.cuda.get_device_name()}, driver {_driver()}, CUDA {torch.version.cuda}"
    else:
        device = (
            f"PyTorch finds **no CUDA device** ({machine()}): its rows are skipped and unproven"
        )
    found = [f"{name} {number}" for name in PACKAGES if (number := _version(name))]
    return (
        f"# ptx on a GPU\n\n{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {device}.\n\nPython"
        f" {platform.python_version()}, {', '.join(found)}.\n\nCommand: `scripts/gpu_check"
        f" {' '.join(sys.argv[1:])}`. Errors are against eager float64."
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _driver() -> str:
    path = Path("/proc/driver/nvidia/version")
    if not path.exists():
        return "unknown"
    words = path.read_text().splitlines()[0].split()
    return next((word for word in words if word[:1].isdigit() and "." in word), "unknown")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--all", action="store_true", help="all models; else four of them")
    parser.add_argument("--output", type=Path, default=Path("gpu-check"), metavar="DIR")
    parser.add_argument("--models", nargs="+", choices=list(CATALOG))
    parser.add_argument("--sections", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    parser.add_argument("--epochs", type=int, default=3, help="at most, of each model")
    parser.add_argument("--data", default="bundled", help="of the models of digits")
    parser.add_argument("--minutes", type=float, default=8.5, help="after which no row is begun")
    options = parser.parse_args()
    models = options.models or list(CATALOG if options.all else FIRST)
    seconds = 60 * options.minutes
    page = Page(options.output, head(), time.monotonic() + seconds)
    with tempfile.TemporaryDirectory() as place, make_pool() as pool:
        setting = Setting(Path(place), models, options.epochs, options.data, pool)
        for name in options.sections:
            measure, share = SECTIONS[name]
            page.part(name, partial(measure, page, setting), share * seconds)
        for child in multiprocessing.active_children():  # exports that nobody waits for any more
            child.kill()
    page.note(f"{page.failures} rows failed")
    return 1 if page.failures else 0


if __name__ == "__main__":
    sys.exit(main())
