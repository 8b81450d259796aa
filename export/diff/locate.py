"""Find the first node of an exported file whose own error is too large.

1. The file runs over the test matrix, to find the input with the largest error for its tolerance.
2. The reference is the unmodified network in float64, node by node: for ONNX the exporter's program of
   the network, whose nodes have the names of the file's values; for `.pt2` the traced program; for
   TorchScript the modules. For an ONNX file without a network it is the file's own graph in float64.
3. Every step of the file (the nodes between two values that the reference also has) runs by itself, on
   the reference's values rounded to the network's precision. The same step of the reference, on the same
   rounded values, is computed in float64 for the expected value, and in the network's precision for the
   tolerance, as for an export. So the error of a step is its own, and not inherited from its inputs.
4. Each step that disagrees is tested: the file runs with the reference's values instead of all such
   steps except this one. If the outputs are then right, the step is harmless. The first harmful step is
   the result.
5. The result is `sure` if the outputs are right after all steps that disagree are replaced. Otherwise,
   or if no step disagrees, the result is unsure, with the steps that are nearest to their tolerance. If
   no step disagrees, the graph after the runtime's fusions is examined in the same way.
"""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.export import ExportedProgram

from ptx.export.check.equivalence import EquivalenceCheck
from ptx.export.check.matrix import Case, sample_size
from ptx.export.check.ties import assert_integers
from ptx.export.check.tolerance import (
    CONSTANT_PATTERNS,
    FACTOR,
    SIMD_ACCUMULATORS,
    distance,
    largest_by_column,
    relative_error,
    worst_column,
)
from ptx.export.diff.fx_graph import FxGraph
from ptx.export.diff.graph_reference import GraphReference
from ptx.export.diff.onnx_graph import OnnxGraph, name_dequantized
from ptx.export.diff.onnx_steps import (
    OnnxReference,
    ProgramReference,
    evaluates_right,
    find_steps,
    mark_changed,
    run_alone,
)
from ptx.export.diff.runtimes import Runtime, find_runtime
from ptx.export.diff.step import Step
from ptx.export.diff.torch_steps import find_module_steps, find_program_steps, load_script
from ptx.export.external_onnx import ExternalOnnx
from ptx.export.formats import find_exporter
from ptx.export.formats.onnx_ import OPSET, convert
from ptx.export.network_copy import copy_network
from ptx.export.source import TrainedModel
from ptx.export.tracing import return_in_order
from ptx.infer.artifact.artifact import Artifact, parse_artifact
from ptx.infer.artifact.formats import CHECKPOINT
from ptx.infer.backends import Options, find_backend, open_backend
from ptx.infer.backends.pytorch.device import to_tensors
from ptx.infer.errors import ArtifactError, PtxError, UsageError, pluralise, quote
from ptx.infer.signature import Array

RUN_IN_PARTS = ("onnx", "torchscript", "pt2")  # the formats whose nodes can be run one by one
SMALL = 2**18  # elements of an input up to which it is preferred to larger ones
_MAX_TESTED = 12  # maximum number of steps that are tested for harm
_CANDIDATES = 5  # number of steps that are listed if the result is unsure
_ROWS = 16  # real samples on which the error of quantization is measured

Run = Callable[[Mapping[str, Array]], dict[str, Array]]


@dataclass(frozen=True)
class Location:
    """Where a file differs from its network.

    Attributes:
        backend: The backend on which the file ran.
        reference: Such as `eager float64`.
        case: Describes the input: `random input, time 14, batch 7`.
        runs: The largest error of the outputs in units of the tolerance: `as it runs`, and for ONNX
            `without graph optimization` and `all values as outputs`, which prevents fusions. Infinite
            if the output has another shape, or the runtime rejects the model.
        step: The first step whose own error is too large; None if there is none.
        sure: Whether the outputs are right after the steps that disagree are replaced.
        reason: Why it is this step, or why the result is unsure.
        candidates: If the result is unsure, the steps that are nearest to their tolerance.
        steps: All steps in the graph's order.
        quantized: Whether the file computes in int8: its steps have a cost, but no tolerance.
        inputs: The arrays of the input, by name.
    """

    backend: str
    reference: str
    case: str
    runs: dict[str, float]
    step: Step | None
    sure: bool
    reason: str
    candidates: tuple[Step, ...] = ()
    steps: tuple[Step, ...] = field(default=(), repr=False)
    quantized: bool = False
    inputs: Mapping[str, Array] = field(default_factory=dict, repr=False)

    @property
    def disagrees(self) -> bool:
        """Whether the error of an output exceeds its tolerance."""
        return not self.quantized and not self.runs["as it runs"] <= 1

    @property
    def summary(self) -> str:
        """The result in one line."""
        if self.quantized or not self.disagrees:
            return self.reason
        if self.step is not None and self.sure:
            return f"the first node that differs is {self.step.title}: {self.reason}"
        nearest = ", ".join(step.title for step in self.candidates[:3])
        first = f"perhaps {self.step.title}; " if self.step else ""
        return f"unsure which node differs: {first}{self.reason}" + (
            f"; nearest to their tolerance: {nearest}" if nearest else ""
        )

    def worst(self, count: int = 10) -> list[Step]:
        """The steps with the largest error of their own, or with the largest cost if it is quantized."""
        floats = [step for step in self.steps if step.local.error or step.disagrees]
        return sorted(floats, key=self.severity, reverse=True)[:count]

    def severity(self, step: Step) -> float:
        """The value by which steps are ordered: error/tolerance, or the cost if it is quantized."""
        return step.local.cost if self.quantized else step.local.share

    def to_data(self) -> dict[str, Any]:
        """The result as JSON data; an infinite error becomes null."""
        return {
            "backend": self.backend,
            "reference": self.reference,
            "case": self.case,
            "disagrees": self.disagrees,
            "runs": {
                key: share if math.isfinite(share) else None for key, share in self.runs.items()
            },
            "node": None if self.step is None else self.step.to_data(),
            "sure": self.sure,
            "reason": self.reason,
            "candidates": [step.to_data() for step in self.candidates],
            "worst": [step.to_data() for step in self.worst()],
        }


def locate(
    trained: TrainedModel,
    artifact: Artifact | None = None,
    *,
    backend: str = "ort-cpu",
    progress: Callable[[str], None] | None = None,
) -> Location:
    """Find the node at which an exported file differs from its network.

    Args:
        trained: The network, from `read_model` or `describe`; or an ONNX file, from `read_external`.
        artifact: The file; None converts the network in memory, for example if its export failed.
            TorchScript and `.pt2` files run code, so they must be trusted.
        backend: The backend that runs the file.
        progress: Called with a text for each stage.

    Raises:
        UsageError: the backend cannot run parts of such a file.
        ArtifactError: the network cannot be traced, or the file was not exported from it.
    """
    diagnosis = Diagnosis(trained, progress)
    return diagnosis.locate(artifact or diagnosis.make_artifact(backend), backend)


class Diagnosis:
    """Caches the conversions of one network, to examine its files."""

    def __init__(
        self, trained: TrainedModel, progress: Callable[[str], None] | None = None
    ) -> None:
        self._trained = trained
        self.external = trained if isinstance(trained, ExternalOnnx) else None
        self._progress = progress or (lambda text: None)
        # By opset: a new conversion, and its program.
        self.conversions: dict[int, tuple[OnnxGraph, ExportedProgram]] = {}

    def make_artifact(self, backend: str) -> Artifact:
        """Convert the network in memory, to the format that the backend reads."""
        self._progress("converting the network")
        kind = find_backend(backend).artifact_format
        if kind == CHECKPOINT:
            raise UsageError(f"the backend {quote(backend)} does not run exported files")
        content = find_exporter(kind).convert(self._trained.traced, opset=None)
        return self.as_artifact(content, kind)

    def as_artifact(self, content: bytes, kind: str) -> Artifact:
        """The artifact for newly converted content."""
        if find_exporter(kind).takes_opset:
            ((opset, program),) = list(self._trained.traced.decomposed.items())[-1:]
            self.conversions[opset] = OnnxGraph(content), program
        data = find_exporter(kind).embed_manifest(content, self._trained.limited_manifest.to_json())
        return parse_artifact(data, path=Path(f"{self._trained.manifest.model}.{kind}"))

    def locate(self, artifact: Artifact, backend: str, seconds: float = math.inf) -> Location:
        """As the function `locate`.

        Args:
            seconds: Time after which no further input of the test matrix is tried, if one has failed.
        """
        if (
            find_backend(backend).artifact_format != artifact.kind
            or artifact.kind not in RUN_IN_PARTS
        ):
            raise UsageError(
                f"{artifact.name} is {artifact.format.noun}, which the backend {quote(backend)} does not"
                " run in parts; expected an .onnx, .torchscript or .pt2 file and a backend that reads it"
            )
        self._check_match(artifact)
        quantized = bool(artifact.require_manifest().compute)
        self._progress("running the file")
        device = "cpu" if "cpu" in find_backend(backend).devices else "auto"
        options = Options(device=device, trust=True)
        runtime = find_runtime(backend) if find_exporter(artifact.kind).takes_opset else None
        case, share = self._sample_case(), 0.0
        if not quantized:
            opened = open_backend(backend, artifact, options)
            try:
                case, share = find_worst_case(self._check, opened.run, seconds)
            finally:
                opened.close()
        self._progress("running each step by itself")
        if runtime is not None:
            file = _OnnxFile(self, artifact, runtime, case)
            location = file.locate(backend, share)
        else:
            location = self._find_first(backend, case, share, self._torch_steps(artifact, case))
        return replace(location, inputs=case.inputs)

    @property
    def _check(self) -> EquivalenceCheck:
        return self._trained.equivalence_check

    def _check_match(self, artifact: Artifact) -> None:
        manifest = artifact.require_manifest()
        weights = self._trained.manifest.weights_sha256
        same_inputs = (
            manifest.signature.to_data() == self._trained.limited_manifest.signature.to_data()
        )
        if self.external is not None and manifest.compute:
            raise ArtifactError(
                f"{artifact.name} computes in {manifest.compute}, and the error of that can be measured"
                " only with its checkpoint: use the name of the model instead of the file",
                code="E-INT8",
            )
        # Two files of other tools may differ in their weights: the diff shows where.
        if not same_inputs or (self.external is None and manifest.weights_sha256 != weights):
            raise ArtifactError(
                f"{artifact.name} was exported from other weights, or has other inputs; expected a file"
                " of this checkpoint: export it again"
                if self.external is None
                else f"{artifact.name} has other inputs or outputs; expected those of the first file",
                code="E-STALE",
            )

    def convert(self, opset: int) -> tuple[OnnxGraph, ExportedProgram]:
        """A new conversion to ONNX, and its program."""
        if opset not in self.conversions:
            self._progress("converting the network")
            content = convert(self._trained.traced, opset=opset)
            self.conversions[opset] = OnnxGraph(content), self._trained.traced.decomposed[opset]
        return self.conversions[opset]

    def tensors(self, case: Case) -> tuple[torch.Tensor, ...]:
        """The inputs of a case."""
        return tuple(to_tensors(self._trained.traced.signature, case.inputs, "cpu"))

    def constant_error(self, case: Case) -> float:
        """The rounding error of sums over a constant input, relative to the largest value."""
        if case.pattern not in CONSTANT_PATTERNS:
            return 0.0
        eps = self._check.reference.precision.eps
        return sample_size(self._check.signature) / SIMD_ACCUMULATORS / 2 * eps / 2

    def output_share(self, case: Case, outputs: Mapping[str, Any]) -> float:
        """See the function `output_share`."""
        return output_share(self._check, case, outputs)

    @property
    def reference(self) -> str:
        """The name of the reference."""
        return self._check.name

    def _sample_case(self) -> Case:
        """Real samples if the model has some, else random ones."""
        signature, samples = self._check.signature, self._trained.samples
        sizes = signature.distinct_sizes(range(3, 3 + len(signature.dynamic_axes)))
        inputs = signature.example(sizes)
        if samples:
            rows = min(_ROWS, *(samples[s.name].shape[s.batch_axis] for s in signature.inputs))
            inputs = {
                spec.name: np.take(samples[spec.name], range(rows), spec.batch_axis)
                for spec in signature.inputs
            }
        pattern = "real" if samples else "random"
        return Case(pattern, {"batch": len(next(iter(inputs.values())))}, inputs, {}, {})

    def _torch_steps(self, artifact: Artifact, case: Case) -> list[Step]:
        find_steps = {"pt2": self._program_steps, "torchscript": self._module_steps}
        return find_steps[artifact.kind](artifact.data, case)

    def _program_steps(self, data: bytes, case: Case) -> list[Step]:
        tensors = self.tensors(case)
        file = FxGraph(torch.export.load(io.BytesIO(data)), tensors)
        reference = FxGraph(self._trained.traced.require_program(), tensors)
        return find_program_steps(file, reference, constant_error=self.constant_error(case))

    def _module_steps(self, data: bytes, case: Case) -> list[Step]:
        tensors, constant_error = self.tensors(case), self.constant_error(case)
        traced = self._trained.traced
        network = copy_network(self._trained.network).eval()
        if self._check.reference.names_outputs:
            return_in_order(network, traced.signature)
        double = copy_network(network).double()
        return find_module_steps(
            load_script(data), network, double, tensors, constant_error=constant_error
        )

    def _find_first(
        self, backend: str, case: Case, share: float, steps: Sequence[Step]
    ) -> Location:
        """The first step of a PyTorch file that disagrees, innermost modules first."""
        wrong = [step for step in steps if step.disagrees]
        location = _agreeing(backend, self.reference, case, {"as it runs": share}, steps)
        if share <= 1:
            return location
        if not wrong:
            return _unsure(location, None, "every module or node agrees when it runs by itself")
        reason = f"it is the first of {pluralise(len(wrong), 'step')} that disagree by themselves"
        if wrong[0].local.share <= FACTOR:
            return _unsure(location, wrong[0], f"{reason}, and it is close to its tolerance")
        return replace(location, step=wrong[0], reason=reason)


class _OnnxFile:
    """One ONNX file, examined for one input."""

    def __init__(
        self, diagnosis: Diagnosis, artifact: Artifact, runtime: Runtime, case: Case
    ) -> None:
        self._diagnosis, self._runtime, self._case = diagnosis, runtime, case
        self._quantized = bool(artifact.require_manifest().compute)
        self._content = name_dequantized(artifact.data) if self._quantized else artifact.data
        self.graph = OnnxGraph(self._content)
        self.reference: OnnxReference
        self._external = diagnosis.external
        if self._external is not None:
            self._conversion = OnnxGraph(self._external.content)
            self.reference = GraphReference(self._conversion, case.inputs)
            return
        opsets = {entry.domain: entry.version for entry in self.graph.model.opset_import}
        self._conversion, program = diagnosis.convert(opsets.get("", OPSET))
        fx = FxGraph(program, diagnosis.tensors(case))
        self.reference = ProgramReference(fx, self.graph.outputs)

    def locate(self, backend: str, share: float) -> Location:
        steps = self._find_steps(self.graph, optimize=True)
        runs = {"as it runs": share, **({} if self._quantized else self._rerun())}
        reference = self._diagnosis.reference
        location = _agreeing(backend, reference, self._case, runs, steps)
        if self._quantized:
            reason = "the file computes in int8; its steps are ordered by the error of quantization"
            return replace(location, reason=reason, quantized=True)
        if share <= 1:
            return location
        wrong = [step for step in steps if step.disagrees]
        if not wrong:
            return self._locate_fusion(location)
        if not self._share_with(wrong) <= 1:
            reason = "the outputs stay wrong when all steps that disagree are replaced"
            return _unsure(location, wrong[0], reason)
        harmful = self._find_harmful(wrong)
        if not harmful:
            return _unsure(location, wrong[0], "several steps make the outputs wrong only together")
        reason = self._explain(harmful[0], runs, len(harmful))
        return replace(location, step=harmful[0], reason=reason)

    def _find_steps(self, graph: OnnxGraph, *, optimize: bool) -> list[Step]:
        steps = find_steps(
            graph,
            self.reference,
            self._runtime,
            self._case.inputs,
            constant_error=self._diagnosis.constant_error(self._case),
            optimize=optimize,
        )
        if graph is not self.graph or self._quantized:  # every node of these graphs differs
            return steps
        return [mark_changed(graph, step, self._conversion) for step in steps]

    def _rerun(self) -> dict[str, float]:
        """The errors of the outputs in further runs, in which the runtime can fuse less."""
        runs = {}
        outputs, names = self.graph.outputs, self.reference.names(self.graph)
        for title, targets, optimize in (
            ("all values as outputs", list(dict.fromkeys([*outputs, *names])), True),
            ("without graph optimization", outputs, False),
        ):
            got = run_alone(
                self.graph, targets, {}, self._runtime, self._case.inputs, optimize=optimize
            )
            runs[title] = self._diagnosis.output_share(self._case, got)
        return runs

    def _share_with(self, replaced: Sequence[Step]) -> float:
        """The error of the outputs if these steps have the values of the reference."""
        names = {step.name for step in replaced}
        values = {name: self.reference.rounded(name) for name in names}
        targets = [name for name in self.graph.outputs if name not in names]
        got = (
            run_alone(self.graph, targets, values, self._runtime, self._case.inputs)
            if targets
            else {}
        )
        return self._diagnosis.output_share(
            self._case, {**got, **{name: values[name] for name in names & set(self.graph.outputs)}}
        )

    def _find_harmful(self, wrong: Sequence[Step]) -> list[Step]:
        """The steps that make the outputs wrong although all other wrong steps are replaced."""
        if len(wrong) == 1:
            return list(wrong)
        harmful = []
        for step in wrong[:_MAX_TESTED]:
            others = [other for other in wrong if other is not step]
            if not self._share_with(others) <= 1:
                harmful.append(step)
        return harmful

    def _explain(self, step: Step, runs: Mapping[str, float], harmful: int) -> str:
        parts = []
        if step.local.problem:
            parts.append(step.local.problem)
        if step.changed:
            expected = (
                "a new conversion of the network" if self._external is None else "the other file"
            )
            parts.append(f"it differs from {expected}")
        elif self._external is None:
            right = evaluates_right(self.graph, self.reference, step.name, self._case.inputs)
            if right is not None:
                parts.append(
                    "ONNX's evaluator computes these nodes as PyTorch does: the fault is the runtime's"
                    if right
                    else "ONNX's evaluator computes these nodes as the runtime does: the fault is the"
                    " exporter's"
                )
        if harmful > 1:
            parts.append(f"it is the first of {harmful} steps that make the outputs wrong")
        parts += [f"the error disappears {title}" for title in _fixed_by(runs)]
        return "; ".join(parts) or "its own error is larger than the tolerance"

    def _locate_fusion(self, location: Location) -> Location:
        """Examine the graph after the runtime's fusions, because every step is right by itself."""
        reason = "every step agrees when it runs by itself"
        if fixes := _fixed_by(location.runs):
            reason += f"; the error disappears {' and '.join(fixes)}: a fusion of the runtime"
        content = None
        with suppress(Exception):  # runtimes raise exceptions of many classes
            content = self._runtime.optimized(self._content)
        if content is not None:
            graph = OnnxGraph(content)
            fused = [step for step in self._find_steps(graph, optimize=False) if step.disagrees]
            if fused:
                reason += "; in the graph after the fusions, this node disagrees"
                return replace(location, step=fused[0], reason=reason)
        return _unsure(location, None, reason)


def _agreeing(
    backend: str, reference: str, case: Case, runs: dict[str, float], steps: Sequence[Step]
) -> Location:
    """The result if the outputs agree."""
    agrees = "the outputs agree"
    return Location(backend, reference, case.title, runs, None, True, agrees, steps=tuple(steps))


def _unsure(location: Location, step: Step | None, reason: str) -> Location:
    candidates = _nearest(location.steps)
    return replace(location, step=step, sure=False, reason=reason, candidates=candidates)


def find_worst_case(
    check: EquivalenceCheck, run: Run, seconds: float = math.inf
) -> tuple[Case, float]:
    """The case with the largest error relative to its tolerance, and that error.

    Among the cases that fail, small random or real inputs are preferred.

    Args:
        seconds: Time after which no further case is tried, if one has failed.
    """
    start, best, worst = time.monotonic(), (False, False, -1.0), check.cases[0]
    for case in sorted(check.cases, key=_size):
        try:
            share = output_share(check, case, run(case.inputs))
        except PtxError:
            share = math.inf
        preferred = case.pattern in ("random", "real") and _size(case) <= SMALL
        rank = (not share <= 1, preferred, share)
        if rank > best:
            best, worst = rank, case
        if best[0] and time.monotonic() - start > seconds:
            break
    return worst, best[2]


def output_share(check: EquivalenceCheck, case: Case, outputs: Mapping[str, Any]) -> float:
    """The largest error of any output, in units of its tolerance; infinite for another shape."""
    shares = []
    for spec in check.signature.outputs:
        output, exact = outputs.get(spec.name), case.exact[spec.name]
        if not isinstance(output, np.ndarray) or output.shape != exact.shape:
            return math.inf
        if not spec.is_float:
            try:
                assert_integers("", output, exact, case.ties.get(spec.name))
            except PtxError:
                return math.inf
        elif not np.isfinite(output).all():
            return math.inf
        elif case.title not in check.ill_conditioned:
            errors = largest_by_column(spec, distance(output, exact))
            tolerances = check.column_tolerances[case.pattern, spec.name]
            column = worst_column(errors, tolerances)
            shares.append(relative_error(errors.flat[column], tolerances.flat[column]))
    return max(shares, default=0.0)


def _size(case: Case) -> int:
    return sum(array.size for array in case.inputs.values())


def _fixed_by(runs: Mapping[str, float]) -> list[str]:
    titles = {"all values as outputs": "with all values as outputs"}
    return [titles.get(title, title) for title, share in runs.items() if share <= 1]


def _nearest(steps: Sequence[Step]) -> tuple[Step, ...]:
    return tuple(sorted(steps, key=lambda step: step.local.share, reverse=True)[:_CANDIDATES])
