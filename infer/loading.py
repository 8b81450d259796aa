"""From a file to a predictor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptx.infer.artifact.artifact import Artifact, Trust, read_artifact
from ptx.infer.backends import Factory, Options, open_backend
from ptx.infer.errors import ArtifactError
from ptx.infer.predictor import Predictor

if TYPE_CHECKING:
    from ptx.infer.external.spec import ModelSpec

_Arguments = tuple[str, Options, "ModelSpec | None", bool, "float | None"]
"""Of `load`: backend, options, spec, allow_nonfinite, threshold."""


def load(
    path: str | Path,
    *,
    backend: str = "auto",
    device: str = "auto",
    threads: int | None = None,
    precision: str = "float32",
    trust: Trust = False,
    timeout: float | None = None,
    cpu_fallback: str = "shape-ops",
    device_memory: int | None = None,
    network: Factory | None = None,
    spec: str | Path | Mapping[str, Any] | None = None,
    task: str | None = None,
    labels: Sequence[str] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
    allow_nonfinite: bool = False,
    threshold: float | None = None,
) -> Predictor:
    """A predictor for a model file.

    Args:
        path: An artifact (`.onnx`, `.torchscript`, `.pt2`, `.html`) or a checkpoint, recognised by its
            content.
        backend: `auto`, or the name of a backend of ptx or of a package, which is opened or raises an
            error.
            For an ONNX file, `auto` uses ONNX Runtime on CUDA if possible, else on the CPU; each other
            format has one backend. `predictor.backend` is the one that was opened, and
            `predictor.skipped` says why CUDA was not used.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        threads: For ONNX Runtime and OpenVINO; one per available CPU by default. A backend that does
            not support this or one of the following options raises an error.
        precision: `float32`, or `tf32` on CUDA.
        trust: A TorchScript, `.pt2` or `.html` file is a program, which can run code as soon as it is
            loaded. True allows every file, a collection of sha256 digests only those files. ONNX files
            and checkpoints contain no code.
        timeout: Maximum seconds for loading, and for each run of the model (a prediction, or a batch of
            `predict_many`). Only for ONNX Runtime, which checks it between two operators. By default
            there is no limit.
        cpu_fallback: For `ort-cuda`: `shape-ops` allows nodes that compute shapes to run on the CPU,
            `none` allows no node.
        device_memory: For `ort-cuda`: maximum bytes of GPU memory for weights and intermediate results;
            a batch that needs more is a LimitError. By default there is no limit.
        network: For the eager backend, a function that creates the network of a model that is not in
            the catalog; a checkpoint never names code to run.
        spec: For an external ONNX file, which has no manifest: the model spec, as a TOML or JSON
            file or a mapping; see `ptx.infer.external.spec`. Without one the file can be `run`.
        task: Overrides this key of the spec.
        labels: Overrides this key of the spec.
        preprocessing: Overrides this key of the spec.
        allow_nonfinite: Accept infinities and NaN in inputs and outputs, for example a mask of −inf;
            by default they are errors.
        threshold: For the task `boxes`, the lowest score of a box, 0 to 1; the file's own by default.

    Raises:
        ArtifactError: the file cannot be read or loaded, has changed since it was written, or is a
            program that is not trusted.
        BackendError: the backend or device is not available here.
        UsageError: there is no such backend or device, or it does not support this file format or an
            option.
        LimitError: loading took longer than `timeout`; a prediction raises it in the same way.
    """
    options = Options(
        device, threads, precision, trust, timeout, network, cpu_fallback, device_memory
    )
    overrides = {"task": task, "labels": labels, "preprocessing": preprocessing}
    model_spec = read_model_spec(spec, {k: v for k, v in overrides.items() if v is not None})
    arguments = backend, options, model_spec, allow_nonfinite, threshold
    return _load(read_artifact(path), arguments)


def _load(artifact: Artifact, arguments: _Arguments) -> Predictor:
    """A predictor for a file at the artifact's path, from which it can be reopened."""
    backend, options, model_spec, allow_nonfinite, threshold = arguments
    return open_predictor(
        artifact,
        backend=backend,
        options=options,
        model_spec=model_spec,
        allow_nonfinite=allow_nonfinite,
        threshold=threshold,
        reopen=partial(_load_again, artifact.path.absolute(), artifact.sha256, arguments),
    )


def _load_again(path: Path, sha256: str, arguments: _Arguments) -> Predictor:
    artifact = read_artifact(path)
    if artifact.sha256 != sha256:
        raise ArtifactError(
            f"{artifact.name} has changed since the copied predictor was loaded: load it again",
            code="E-HASH",
        )
    return _load(artifact, arguments)


def open_predictor(
    artifact: Artifact,
    *,
    backend: str,
    options: Options,
    model_spec: ModelSpec | None = None,
    allow_nonfinite: bool = False,
    threshold: float | None = None,
    reopen: Callable[[], Predictor] | None = None,
) -> Predictor:
    """A predictor for a file that was already read.

    Args:
        artifact: The file.
        backend: As in `load`.
        options: As in `load`.
        model_spec: The spec of an external ONNX file.
        allow_nonfinite: As in `load`.
        threshold: As in `load`.
        reopen: Loads the file again, when the predictor is pickled or copied; None: it cannot be.

    Raises:
        PtxError: as `load`.
    """
    skipped: dict[str, str] = {}
    model_spec = model_spec or default_spec(artifact)
    if model_spec is not None:
        from ptx.infer.external.adapter import adapt_artifact

        external = adapt_artifact(artifact, model_spec)
        return Predictor(
            external.manifest,
            lambda: external.open(backend, options, skipped),
            allow_nonfinite=allow_nonfinite,
            threshold=threshold,
            reopen=reopen,
            skipped=skipped,
        )
    return Predictor(
        artifact.require_manifest(),
        lambda: open_backend(backend, artifact, options, skipped=skipped),
        allow_nonfinite=allow_nonfinite,
        threshold=threshold,
        reopen=reopen,
        skipped=skipped,
    )


def default_spec(artifact: Artifact) -> ModelSpec | None:
    """The spec of an external ONNX file that takes and gives arrays; None for other files."""
    if artifact.manifest is not None or not artifact.format.accepts_spec:
        return None
    from ptx.infer.external.spec import ModelSpec

    return ModelSpec()


def read_model_spec(
    spec: str | Path | Mapping[str, Any] | None, overrides: dict[str, Any]
) -> ModelSpec | None:
    """The spec in a file or a mapping; `overrides` replace its fields. None if there is neither."""
    if spec is None and not overrides:
        return None
    from ptx.infer.external.spec import ModelSpec, read_spec

    base = read_spec(spec) if isinstance(spec, str | Path) else ModelSpec.from_data(spec or {})
    changes = ModelSpec.from_data(overrides)
    return replace(
        base,
        explicit_fields=tuple(dict.fromkeys((*base.explicit_fields, *changes.explicit_fields))),
        **{key: getattr(changes, key) for key in changes.explicit_fields},
    )
