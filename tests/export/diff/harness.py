"""Plants a fault into a file of each network, and asks which node is named."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from click import echo

from ptx.export import TrainedModel, describe
from ptx.export.diff.locate import Diagnosis, Location
from ptx.export.diff.onnx_graph import OnnxGraph
from ptx.export.formats import EXPORTERS
from ptx.export.formats.onnx_ import OPSET
from ptx.infer.artifact.artifact import Artifact, parse_artifact

from .faults import PLANTS, plant
from .networks import NETWORKS, build

_TRIES = 40  # nodes, until a fault changes the outputs


@dataclass(frozen=True)
class Subject:
    """A network with its diagnosis and the content of its right file."""

    trained: TrainedModel
    diagnosis: Diagnosis
    content: bytes

    def artifact(self, content: bytes) -> Artifact:
        """A file of that content with the network's manifest."""
        manifest = replace(self.trained.limited_manifest, versions={"ptx": "0"})
        data = EXPORTERS["onnx"].embed_manifest(content, manifest.to_json())
        return parse_artifact(data, path=Path("planted.onnx"))

    def locate(self, content: bytes, *, by_exporter: bool = False) -> Location:
        """Where that file differs; `by_exporter`: a new conversion has the same fault."""
        diagnosis = self.diagnosis
        if by_exporter:
            _, program = diagnosis.convert(OPSET)
            diagnosis = Diagnosis(self.trained)
            diagnosis.conversions[OPSET] = OnnxGraph(content), program
        return diagnosis.locate(self.artifact(content), "ort-cpu")


@dataclass(frozen=True)
class Result:
    """Whether the planted node was named.

    If the exporter planted it, it is named if it is within the step that is named: only the outputs of
    steps are known then.
    """

    network: str
    kind: str
    by_exporter: bool
    planted: str
    named: str
    sure: bool
    right: bool
    reason: str


@cache
def subject(name: str) -> Subject:
    """The network of that name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trained = describe(build(name), signature=NETWORKS[name].SIGNATURE, name=name)
        content = EXPORTERS["onnx"].convert(trained.traced, opset=None)
    return Subject(trained, Diagnosis(trained), content)


def plant_and_locate(
    name: str, kind: str, seed: int, *, by_exporter: bool = False
) -> Result | None:
    """One fault of that kind at a random node; None if the network has no node for it."""
    one = subject(name)
    rng = np.random.default_rng(seed)
    places = rng.permutation(len(onnx.load_from_string(one.content).graph.node))
    for place in places[:_TRIES]:
        planted = plant(one.content, kind, int(place), seed)
        if planted is None:
            continue
        content, allowed = planted
        try:
            found = one.locate(content, by_exporter=by_exporter)
        except Exception as error:  # the runtime refuses the graph before it runs
            if "E-ONNX" in getattr(error, "code", ""):
                continue
            raise
        if not found.disagrees:
            continue
        nodes = () if found.step is None else found.step.nodes
        named = nodes if by_exporter or found.step is None else (found.step.node,)
        right = not set(allowed).isdisjoint(named)
        title = named[-1] if named else ""
        return Result(name, kind, by_exporter, allowed[0], title, found.sure, right, found.reason)
    return None


def all_results(seeds: range) -> Iterator[Result]:
    """Every kind in every network, once for each seed, at different nodes."""
    seen: set[tuple[Any, ...]] = set()
    for name, kind, seed, by_exporter in itertools.product(NETWORKS, PLANTS, seeds, (False, True)):
        result = plant_and_locate(name, kind, seed, by_exporter=by_exporter)
        if result is None:
            continue
        key = (name, kind, by_exporter, result.planted)
        if key not in seen:
            seen.add(key)
            yield result


def main() -> None:
    """Print a line for each fault, and how many were named."""
    results = []
    for result in all_results(range(2)):
        results.append(result)
        word = "right" if result.right else "WRONG"
        sure = "sure" if result.sure else "unsure"
        where = "exporter" if result.by_exporter else "file"
        echo(
            f"{word} {sure:6} {where:8} {result.network:9} {result.kind:13} {result.planted:40}"
            f" {result.named:40} {result.reason}"
        )
    right = sum(result.right for result in results)
    silent = sum(not result.right and result.sure for result in results)
    echo(f"{right} of {len(results)} named; {silent} wrong without being unsure")


if __name__ == "__main__":
    main()
