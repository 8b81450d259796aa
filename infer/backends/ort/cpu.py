"""ONNX Runtime on the CPU; and for all its backends importing it, a session, runs."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial
from typing import Any, final

from ptx.infer.artifact.artifact import Artifact
from ptx.infer.backends import Options
from ptx.infer.backends.ort.failures import map_error, mapping_onnxruntime_errors
from ptx.infer.backends.threads import usable_processors
from ptx.infer.backends.watchdog import Limit, Watchdog
from ptx.infer.errors import ArtifactError, BackendError, installing
from ptx.infer.signature import Array, TensorSpec

SMALL_MODEL = 4 * 2**20  # bytes of the file; more weights are worth all threads for any input
SMALL_INPUT = 12_544  # numbers; 16 pictures of 28×28
# The signature's types as ONNX Runtime names them; NumPy has no bfloat16 to give it.
TYPES = {
    "float16": "tensor(float16)",
    "float32": "tensor(float)",
    "float64": "tensor(double)",
    "uint8": "tensor(uint8)",
    "int8": "tensor(int8)",
    "int32": "tensor(int32)",
    "int64": "tensor(int64)",
    "bool": "tensor(bool)",
}
_NOWHERE = (
    f"{os.devnull}/ptx"  # where weights outside the file are looked for: no such folder can be
)
_SPIN = "200"  # microseconds
_NO_ENTRIES: Mapping[str, str] = {}
_FATAL = 4  # ONNX Runtime's log level: its errors come back as exceptions, told by ptx


@final
class OrtCpuBackend:
    """Runs an ONNX file with the CPU execution provider; a session may serve many threads.

    To wake a second thread for one small picture takes as long as the picture itself: a small model has
    a session with one thread for small inputs, and one with all of them that is opened when a large
    input comes. Where the number of threads is given there is one session.

    Attributes:
        small_input: Numbers of the largest small input; to be raised where the other processors have
            other things to do.
    """

    name = "ort-cpu"
    device = "cpu"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        self._artifact, self.small_input = artifact, SMALL_INPUT
        self._watchdog = None if options.timeout is None else Watchdog(options.timeout)
        self._options, self._opening = options, threading.Lock()
        self._two = options.threads is None and len(artifact.data) <= SMALL_MODEL
        self._session: Any = self._open(1 if self._two else options.threads)
        self._parallel: Any = None
        self._runs = Runs(artifact, self._session, self._watchdog)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        session = self._session
        if self._two and _count(inputs) > self.small_input:
            session = self._parallel or self._open_parallel()
        return self._runs.run(session, inputs)

    def close(self) -> None:
        self._session = self._parallel = None

    def _open(self, threads: int | None) -> Any:
        options = replace(self._options, threads=threads)
        session = open_session(self._artifact, options, ["CPUExecutionProvider"], self._watchdog)
        provider = session.get_providers()[0]
        if provider != "CPUExecutionProvider":
            raise BackendError(f"ONNX Runtime opened {provider}; expected CPUExecutionProvider")
        return session

    def _open_parallel(self) -> Any:
        with self._opening:
            if self._parallel is None:
                alone = usable_processors() == 1
                self._parallel = self._session if alone else self._open(None)
            return self._parallel


def _count(inputs: Mapping[str, Any]) -> int:
    """The numbers of all inputs; a sum over a generator would cost half a microsecond more."""
    count = 0
    for value in inputs.values():
        count += getattr(value, "size", 0)
    return count


def import_onnxruntime() -> Any:
    """The `onnxruntime` module, with its telemetry off unless the user decided otherwise.

    Since 1.29 importing it starts threads, writes a device id into the home folder, and can hang forked
    children at exit (microsoft/onnxruntime#27379).
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f"ONNX Runtime is not installed: {installing('cpu')}; for CUDA [gpu] instead"
        ) from error
    return onnxruntime


def open_session(
    artifact: Artifact,
    options: Options,
    providers: Sequence[Any],
    watchdog: Watchdog | None,
    entries: Mapping[str, str] = _NO_ENTRIES,
) -> Any:
    """An `InferenceSession` over the file's bytes; `entries`: more of its configuration.

    Raises:
        ArtifactError: ONNX Runtime cannot load the model.
        LimitError: it takes longer than the watchdog allows.
    """
    onnxruntime = import_onnxruntime()
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL
    settings.intra_op_num_threads = options.threads or usable_processors()
    # Waiting threads spin over the gaps between two operators, and sleep between two predictions: by
    # default they keep whole processors busy for tens of milliseconds. See docs/performance.md.
    settings.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN)
    # Else a file could have other files of this machine read as its weights.
    settings.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", _NOWHERE
    )
    for key, value in entries.items():
        settings.add_session_config_entry(key, value)
    cancel = partial(settings.set_load_cancellation_flag, True)
    limit = nullcontext() if watchdog is None else watchdog.limit(artifact.name, cancel)
    with limit, mapping_onnxruntime_errors(artifact, "load"):
        # Without its own fallback, which would print and try other providers than those asked for.
        session = onnxruntime.InferenceSession(
            artifact.data, settings, providers=list(providers), enable_fallback=0
        )
    _check_manifest(artifact, session)
    return session


class Runs:
    """Runs of a model, in a session with the outputs of this one, begun by any number of threads."""

    def __init__(self, artifact: Artifact, session: Any, watchdog: Watchdog | None) -> None:
        self._artifact, self._watchdog = artifact, watchdog
        self._names = [output.name for output in session.get_outputs()]
        # What stops a run serves one after another: to make it anew costs 8 µs of a run's 50.
        self._idle: list[tuple[Any, Limit]] = []

    def run(self, session: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by their names.

        Raises:
            ArtifactError: ONNX Runtime cannot run the model.
            LimitError: it takes longer than the watchdog allows, or runs out of memory.
        """
        if self._watchdog is None:
            return self._outputs(session, inputs, None)
        try:
            stopping = self._idle.pop()
        except IndexError:
            stopping = self._stopping(self._watchdog)
        settings, limit = stopping
        with limit:
            outputs = self._outputs(session, inputs, settings)
        if not limit.stopped:
            self._idle.append(stopping)
        return outputs

    def run_bound(self, session: Any, binding: Any) -> None:
        """Run with the inputs and outputs of an `IOBinding`; the outputs are computed on return.

        Raises:
            As `run`.
        """
        settings: Any = None
        limit: AbstractContextManager[None] = nullcontext()
        if self._watchdog is not None:
            settings, limit = self._stopping(self._watchdog)
        with limit, mapping_onnxruntime_errors(self._artifact, "run"):
            session.run_with_iobinding(binding, settings)

    def _outputs(
        self, session: Any, inputs: Mapping[str, Array], settings: Any
    ) -> dict[str, Array]:
        names = self._names
        try:  # a context manager would cost a microsecond
            return dict(zip(names, session.run(names, inputs, settings), strict=True))
        except Exception as error:
            raise map_error(error, self._artifact, "run") from error

    def _stopping(self, watchdog: Watchdog) -> tuple[Any, Limit]:
        import onnxruntime  # which is there: it opened the session

        settings = onnxruntime.RunOptions()
        stop = partial(setattr, settings, "terminate", True)
        return settings, watchdog.limit(self._artifact.name, stop)


def _check_manifest(artifact: Artifact, session: Any) -> None:
    """Refuse a model whose inputs or outputs are not those of its manifest, before any data."""
    signature = artifact.require_manifest().signature if artifact.digest_ok else None
    if signature is None:  # `verify` replays a changed file to see what the change did
        return
    for what, specs, found in (
        ("inputs", signature.inputs, session.get_inputs()),
        ("outputs", signature.outputs, session.get_outputs()),
    ):
        known = {item.name: item for item in found}
        if known.keys() != {spec.name for spec in specs}:
            raise _other_model(
                artifact, f"{what} {sorted(known)}", str([spec.name for spec in specs])
            )
        for spec in specs:
            item = known[spec.name]
            if item.type != TYPES.get(spec.dtype) or (what == "inputs" and not _fits(spec, item)):
                got = f"{what[:-1]} {item.name!r} as {item.type} {item.shape}"
                raise _other_model(artifact, got, f"{spec.dtype} {spec.describe()}")


def _fits(spec: TensorSpec, item: Any) -> bool:
    """Whether the model takes every size that the manifest allows."""
    return len(item.shape) == len(spec.axes) and all(
        not isinstance(size, int) or size == axis
        for size, axis in zip(item.shape, spec.axes, strict=True)
    )


def _other_model(artifact: Artifact, got: str, expected: str) -> ArtifactError:
    return ArtifactError(
        f"{artifact.name} has {got}; its manifest says {expected}: export it again",
        code="E-ONNX-MANIFEST",
    )
