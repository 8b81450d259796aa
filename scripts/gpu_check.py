"""Train on the accelerator, export, and compare every backend on CPU and CUDA with eager float64.

Prints a Markdown page with the device, the versions and the date. Without a CUDA device it runs through
on the CPU and says which rows are missing.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from ptx.export import FORMATS, compare, export, read_model
from ptx.export.reference import Reference
from ptx.infer import Predictor, PtxError, load
from ptx.infer.benchmarking import machine
from ptx.infer.signature import Array
from ptx.models import CATALOG
from ptx.trainers import default_recipe, evaluate, open_dataset, train
from ptx.trainers.evaluation import model_inputs

MODELS = ("softmax-regression", "convnet", "lstm", "name-classifier")
PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "onnxruntime-gpu", "numpy")
REPEATS = 200  # runs of one row whose median is its latency


@dataclass(frozen=True)
class Row:
    """One backend on one device at one precision."""

    backend: str
    device: str
    precision: str
    kind: str
    graphs: bool = False  # captured batches

    @property
    def name(self) -> str:
        """As the table shows it."""
        return f"{self.backend}, graphs" if self.graphs else self.backend


ROWS = (
    Row("eager", "cpu", "float32", "checkpoint"),
    Row("torchscript", "cpu", "float32", "torchscript"),
    Row("pt2", "cpu", "float32", "pt2"),
    Row("ort-cpu", "cpu", "float32", "onnx"),
    Row("eager", "cuda", "float32", "checkpoint"),
    Row("torchscript", "cuda", "float32", "torchscript"),
    Row("pt2", "cuda", "float32", "pt2"),
    Row("ort-cuda", "cuda", "float32", "onnx"),
    Row("ort-cuda", "cuda", "float32", "onnx", graphs=True),
    Row("eager", "cuda", "tf32", "checkpoint"),
    Row("ort-cuda", "cuda", "tf32", "onnx"),
)


def check(model: str, epochs: int, folder: Path) -> bool:
    """Train, export and compare one model; print its table. False where a float32 row disagrees."""
    dataset = open_dataset("bundled", default=CATALOG[model].data, cache=folder)
    started = time.perf_counter()
    recipe = default_recipe(model, epochs=epochs)
    result = train(model, dataset, recipe, folder=folder / model)
    seconds = time.perf_counter() - started
    source = read_model(result.checkpoint)
    paths = {"checkpoint": result.checkpoint}
    for name, form in FORMATS.items():
        paths[name] = export(source, name, folder / model / f"{model}{form.suffix}").path
    device = source.card.training["device"]
    print(f"\n## {model}\n")
    print(
        f"Trained on {device}: {epochs} epochs of {len(dataset.train):,} rows in {seconds:.1f} s.\n"
    )
    print("| backend | device | precision | largest error | allowed | labels differ | accuracy |"
          " median ms, batch 64 |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    reference = Reference(source.network, source.card.signature, {})
    holds = True
    for row in ROWS:
        try:
            predictor = load(
                paths[row.kind],
                backend=row.backend,
                device=row.device,
                precision=row.precision,
                cuda_graphs=row.graphs,
                trust=True,  # exported above
            )
        except PtxError as error:
            print(f"| {row.name} | {row.device} | {row.precision} | missing: {error} | | | | |")
            continue
        with predictor:
            found = compare(
                reference, [predictor], model_inputs(dataset.test, predictor.preprocessing)
            )
            measured = found.results[0]
            accuracy = evaluate(predictor, dataset.test).accuracy
            assert accuracy is not None
            print(
                f"| {row.name} | {predictor.backend.device} | {row.precision}"
                f" | {measured.error:.1e} | {measured.tolerance:.1e} | {measured.differ}"
                f" | {100 * accuracy:.2f} % | {latency(predictor, source.samples):.3f} |"
            )
            if row.precision == "float32" and not found.holds:
                holds = False
    return holds


def latency(predictor: Predictor, samples: dict[str, Array]) -> float:
    """The median time of `run` on 64 real samples, NumPy in and out, in milliseconds."""
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        predictor.run(samples)
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times)


def versions() -> Iterator[str]:
    """Each package with its version."""
    for package in PACKAGES:
        try:
            yield f"{package} {version(package)}"
        except PackageNotFoundError:
            continue


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(CATALOG))
    options = parser.parse_args()
    cuda = torch.cuda.is_available()
    name = torch.cuda.get_device_name() if cuda else f"no CUDA device; {machine()}"
    print("# The backends on CPU and CUDA\n")
    print(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {name}, Python"
          f" {platform.python_version()}, {', '.join(versions())}.")  # fmt: skip
    print(
        f"Command: `scripts/gpu_check --epochs {options.epochs}`. Errors are against eager float64."
    )
    if not cuda:
        print("\nThe rows of CUDA are missing here and unproven.")
    with tempfile.TemporaryDirectory() as folder:
        results = [check(model, options.epochs, Path(folder)) for model in options.models]
    print(f"\n{sum(results)} of {len(results)} models: every float32 row that ran agrees.")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
