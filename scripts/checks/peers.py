"""Every model of the catalog on every engine that is here, over its test rows: the errors.

    ./scripts/run checks/peers

Each is trained for one epoch on its bundled data, exported in every format and compared with eager
float64; tract, which is no backend of ptx, reads the same ONNX file. The cells of the table, that of
docs/how-to/export-variants.md, are the share of what is allowed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import tract

from ptx.export import TrainedModel, export, read_model
from ptx.export.tolerance import share_of
from ptx.infer import Array, Predictor, Signature, load, read_artifact
from ptx.infer.artifact.formats import FORMATS
from ptx.infer.backends import BACKENDS
from ptx.infer.errors import ArtifactError
from ptx.models import CATALOG
from ptx.report import compare, split_rows
from ptx.trainers import default_recipe, open_dataset, train

PEERS = tuple(name for name in BACKENDS if name != "ort-cuda")


class Tract:
    """The ONNX runtime of other authors, as ptx asks a backend."""

    name, device = "tract", "cpu"

    def __init__(self, path: Path, signature: Signature) -> None:
        self._signature = signature
        self._runnable = tract.onnx().load(str(path)).into_model().into_runnable()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        try:
            answered = self._runnable.run([inputs[spec.name] for spec in self._signature.inputs])
        except tract.TractError as error:
            raise ArtifactError(first_line(error)) from error
        specs = self._signature.outputs
        return {s.name: one.to_numpy() for s, one in zip(specs, answered, strict=True)}

    def close(self) -> None:
        """It has nothing to give back."""


def first_line(error: tract.TractError) -> str:
    return str(error).partition("\n")[0]


def make(model: str, folder: Path) -> tuple[TrainedModel, dict[str, Path]]:
    """One epoch, and a file of each format."""
    data = open_dataset("bundled", default=CATALOG[model].data, cache=folder)
    recipe = replace(default_recipe(model), epochs=1)
    trained = read_model(train(model, data, recipe, folder=folder).checkpoint)
    suffixes = {name: FORMATS[name].suffix for name in ("onnx", "torchscript", "pt2", "html")}
    return trained, {
        name: export(trained, name, folder / f"{model}{suffix}").path
        for name, suffix in suffixes.items()
    }


def row(model: str, folder: Path) -> tuple[str, bool]:
    """The line of a model, and whether all agree."""
    trained, paths = make(model, folder)
    paths["checkpoint"] = folder / "checkpoint.pt"
    predictors = [
        load(paths[BACKENDS[name].reads], backend=name, device="cpu", trust=True) for name in PEERS
    ]
    card = read_artifact(paths["onnx"]).require_card()
    cells = {}
    try:
        predictors.append(Predictor(card, lambda: Tract(paths["onnx"], card.signature)))
    except tract.TractError as error:
        cells["tract"] = f"does not open it: {first_line(error)}"
    data = open_dataset("bundled", default=CATALOG[model].data, cache=folder)
    found = compare(trained, predictors, split_rows(data, predictors[0]))
    for one in found.found.results:
        cells[one.backend] = one.failure or f"{share_of(one.error, one.tolerance):.2f}"
        cells[one.backend] += f", {one.differ} labels" if one.differ else ""
    shown = " | ".join(cells[name] for name in (*PEERS, "tract"))
    allowed = f"{found.found.tolerance:.1e}"
    return f"| {model} | {found.found.rows:,} | {allowed} | {shown} |", found.holds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--only", action="append", choices=CATALOG)
    names = parser.parse_args().only or list(CATALOG)
    print(f"| model | rows | allowed | {' | '.join((*PEERS, 'tract'))} |")
    print("|---|---:|---:|" + "---:|" * (len(PEERS) + 1))
    agree = []
    with tempfile.TemporaryDirectory() as folder:
        for model in names:
            line, holds = row(model, Path(folder) / model)
            agree.append(holds)
            print(line, flush=True)
    return int(not all(agree))


if __name__ == "__main__":
    sys.exit(main())
