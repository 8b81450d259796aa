"""Time and error of the nodes of a model's files, in one table for each backend."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

from ptx.export import (
    PROFILED_BACKENDS,
    NodeProfile,
    NodeTime,
    TrainedModel,
    locate,
    profile_nodes,
)
from ptx.infer import Artifact, BackendError, UsageError, read_artifact
from ptx.infer.external.adapter import adapt_artifact
from ptx.infer.loading import default_spec
from ptx.report.benchmarking import BenchmarkSettings, Target
from ptx.report.measurement import sample_batch
from ptx.report.text import table


def profile_targets(
    targets: Sequence[Target],
    settings: BenchmarkSettings,
    trained: TrainedModel | None,
    *,
    on_skip: Callable[[str, str], None] | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[NodeProfile]:
    """The profile of each target at the first of the batch sizes.

    Args:
        trained: The network that the files were made from. None: errors are not measured.
        on_skip: Called with the name of an unavailable backend and the reason; backends that have no
            profile by node are skipped. If None, both are errors.
        progress: Called after each backend.

    Raises:
        UsageError: a backend has no profile by node, or none of the backends has.
        ArtifactError: a file was not made from that network.
    """
    any_profile = False
    if on_skip is not None:
        targets = [each for each in targets if each.backend in PROFILED_BACKENDS] or targets
    for target in targets:
        try:
            artifact = _read_with_manifest(target)
            location = None
            if trained is not None and target.backend in PROFILED_BACKENDS:
                location = locate(trained, artifact, backend=target.backend)
            yield profile_nodes(
                artifact,
                sample_batch(artifact.require_manifest(), settings.batches[0]),
                backend=target.backend,
                seconds=settings.seconds,
                threads=target.options.threads,
                location=location,
            )
            any_profile = True
        except (BackendError, UsageError) as error:
            if on_skip is None or (not any_profile and target is targets[-1]):
                raise
            on_skip(target.backend, getattr(error, "reason", str(error)))
        progress()


def _read_with_manifest(target: Target) -> Artifact:
    """The file; if ptx did not export it, with a manifest made from its graph."""
    artifact = read_artifact(target.path)
    model_spec = default_spec(artifact)
    return artifact if model_spec is None else adapt_artifact(artifact, model_spec).artifact


def node_table(profile: NodeProfile, columns: int | None = None) -> str:
    """The ten slowest nodes with their share of the time and their error.

    Args:
        columns: Width of the terminal. None means no limit.
    """
    cost = ("cost (relative RMS error)",) if profile.quantized else ("error", "error/tolerance")
    rows = [
        (
            node.node,
            "" if node.step is None else node.step.origin.module,
            f"{1e6 * node.seconds:,.1f}",
            f"{100 * node.seconds / profile.seconds:.1f} %",
            *_error(node, quantized=profile.quantized),
        )
        for node in profile.slowest()
    ]
    title = (
        f"{profile.backend}, batch {profile.batch}: {1e6 * profile.seconds:,.0f} µs in"
        f" {len(profile.nodes)} nodes, the mean of {profile.runs} runs"
    )
    return f"{title}\n{table(('node', 'module', 'µs', 'time', *cost), rows, columns=columns)}"


def _error(node: NodeTime, *, quantized: bool) -> tuple[str, ...]:
    if node.step is None:
        return ("-",) if quantized else ("-", "-")
    local = node.step.local
    if quantized:
        return (f"{local.cost:.2%}",)
    share = f"{local.share:.3g}" if math.isfinite(local.share) else "infinite"
    return (local.problem[:40] or f"{local.error:.1e}", share)
