"""ONNX Runtime on the CPU, and what all backends of ONNX Runtime share: import, sessions and runs."""

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
from ptx.infer.backends.threads import available_cpus
from ptx.infer.backends.watchdog import Deadline, Watchdog
from ptx.infer.errors import ArtifactError, BackendError, install_hint
from ptx.infer.signature import Array, TensorSpec

SMALL_MODEL = 4 * 2**20  # bytes of the file; larger models use all threads for any input
SMALL_INPUT = 12_544  # elements: 16 images of 28×28
# Name of each dtype in ONNX Runtime. bfloat16 is missing, because NumPy does not have it.
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
_NO_FOLDER = f"{os.devnull}/ptx"  # a path that cannot exist, as the folder of external weights
_SPIN = "200"  # microseconds
_NO_ENTRIES: Mapping[str, str] = {}
_FATAL = 4  # ONNX Runtime's log level: its errors are raised as exceptions, with messages of ptx


@final
class OrtCpuBackend:
    """Runs an ONNX file with the CPU execution provider; several threads may call `run`.

    For one small image, waking a second thread takes as long as the computation. So a small model has a
    session with one thread for small inputs, and a session with all threads, which is opened for the
    first large input. If the number of threads is set, there is only one session.

    Attributes:
        small_input: Maximum number of elements that the session with one thread computes. Raise it if
            the other CPUs are busy.
    """

    name = "ort-cpu"
    device = "cpu"

    def __init__(self, artifact: Artifact, options: Options) -> None:
        self._artifact, self.small_input = artifact, SMALL_INPUT
        self._watchdog = None if options.timeout is None else Watchdog(options.timeout)
        self._options, self._opening_lock = options, threading.Lock()
        self._has_two_sessions = options.threads is None and len(artifact.data) <= SMALL_MODEL
        self._session: Any = self._open(1 if self._has_two_sessions else options.threads)
        self._parallel: Any = None
        self._runs = Runs(artifact, self._session, self._watchdog)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        session = self._session
        if self._has_two_sessions and _count_elements(inputs) > self.small_input:
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
        with self._opening_lock:
            if self._parallel is None:
                one_cpu = available_cpus() == 1
                self._parallel = self._session if one_cpu else self._open(None)
            return self._parallel


def _count_elements(inputs: Mapping[str, Any]) -> int:
    """The number of elements of all inputs; `sum` over a generator would cost 0.5 µs more."""
    count = 0
    for value in inputs.values():
        count += getattr(value, "size", 0)
    return count


def import_onnxruntime() -> Any:
    """The `onnxruntime` module, with its telemetry off unless the user decided otherwise.

    Since 1.29, with telemetry on, the import starts threads, writes a device id into the home folder
    and can make forked children hang at exit (microsoft/onnxruntime#27379).
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendError(
            f"ONNX Runtime is not installed: {install_hint('cpu')}; for CUDA [gpu] instead"
        ) from error
    return onnxruntime


def open_session(
    artifact: Artifact,
    options: Options,
    providers: Sequence[Any],
    watchdog: Watchdog | None,
    entries: Mapping[str, str] = _NO_ENTRIES,
) -> Any:
    """An `InferenceSession` for the file's bytes; `entries` are extra session configuration entries.

    Raises:
        ArtifactError: ONNX Runtime cannot load the model.
        LimitError: it takes longer than the watchdog allows.
    """
    onnxruntime = import_onnxruntime()
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = _FATAL
    settings.intra_op_num_threads = options.threads or available_cpus()
    # Idle threads spin between two operators and sleep between two predictions. With the default they
    # keep all CPUs busy for tens of milliseconds.
    settings.add_session_config_entry("session.intra_op.spin_duration_us", _SPIN)
    # Without this, a model could read other files of this machine as its weights.
    settings.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", _NO_FOLDER
    )
    if external_data := artifact.external_data:
        contents = list(external_data.values())
        settings.add_external_initializers_from_files_in_memory(
            list(external_data), contents, [len(content) for content in contents]
        )
    for key, value in entries.items():
        settings.add_session_config_entry(key, value)
    cancel = partial(settings.set_load_cancellation_flag, True)
    deadline = nullcontext() if watchdog is None else watchdog.deadline(artifact.name, cancel)
    with deadline, mapping_onnxruntime_errors(artifact, "load"):
        # The built-in fallback would print, and use providers that were not requested.
        session = onnxruntime.InferenceSession(
            artifact.data, settings, providers=list(providers), enable_fallback=0
        )
    _check_manifest(artifact, session)
    return session


class Runs:
    """Runs a model in sessions that have the outputs of `session`; thread-safe."""

    def __init__(self, artifact: Artifact, session: Any, watchdog: Watchdog | None) -> None:
        self._artifact, self._watchdog = artifact, watchdog
        self._names = [output.name for output in session.get_outputs()]
        # Run options are reused: creating them would cost 8 µs of the 50 µs of a run.
        self._pool: list[tuple[Any, Deadline]] = []

    def run(self, session: Any, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs by their names.

        Raises:
            ArtifactError: ONNX Runtime cannot run the model.
            LimitError: it takes longer than the watchdog allows, or runs out of memory.
        """
        if self._watchdog is None:
            return self._outputs(session, inputs, None)
        try:
            pooled = self._pool.pop()
        except IndexError:
            pooled = self._stoppable(self._watchdog)
        settings, deadline = pooled
        with deadline:
            outputs = self._outputs(session, inputs, settings)
        if not deadline.stopped:
            self._pool.append(pooled)
        return outputs

    def run_bound(self, session: Any, binding: Any) -> None:
        """Run with the inputs and outputs of an `IOBinding`; the outputs are computed on return.

        Raises:
            As `run`.
        """
        settings: Any = None
        deadline: AbstractContextManager[None] = nullcontext()
        if self._watchdog is not None:
            settings, deadline = self._stoppable(self._watchdog)
        with deadline, mapping_onnxruntime_errors(self._artifact, "run"):
            session.run_with_iobinding(binding, settings)

    def _outputs(
        self, session: Any, inputs: Mapping[str, Array], settings: Any
    ) -> dict[str, Array]:
        names = self._names
        try:  # a context manager would take a microsecond more
            return dict(zip(names, session.run(names, inputs, settings), strict=True))
        except Exception as error:
            raise map_error(error, self._artifact, "run") from error

    def _stoppable(self, watchdog: Watchdog) -> tuple[Any, Deadline]:
        import onnxruntime  # installed, because it opened the session

        settings = onnxruntime.RunOptions()
        stop = partial(setattr, settings, "terminate", True)
        return settings, watchdog.deadline(self._artifact.name, stop)


def _check_manifest(artifact: Artifact, session: Any) -> None:
    """Reject a model whose inputs or outputs differ from its manifest."""
    signature = artifact.require_manifest().signature if artifact.digest_ok else None
    if signature is None:  # `verify` runs a modified file to show the effect of the change
        return
    for what, specs, items in (
        ("inputs", signature.inputs, session.get_inputs()),
        ("outputs", signature.outputs, session.get_outputs()),
    ):
        by_name = {item.name: item for item in items}
        if by_name.keys() != {spec.name for spec in specs}:
            raise _mismatch_error(
                artifact, f"{what} {sorted(by_name)}", str([spec.name for spec in specs])
            )
        for spec in specs:
            item = by_name[spec.name]
            if item.type != TYPES.get(spec.dtype) or (
                what == "inputs" and not _accepts(item, spec)
            ):
                actual = f"{what[:-1]} {item.name!r} as {item.type} {item.shape}"
                raise _mismatch_error(artifact, actual, f"{spec.dtype} {spec.describe()}")


def _accepts(item: Any, spec: TensorSpec) -> bool:
    """Whether the model accepts every size that the manifest allows."""
    return len(item.shape) == len(spec.axes) and all(
        not isinstance(size, int) or size == axis
        for size, axis in zip(item.shape, spec.axes, strict=True)
    )


def _mismatch_error(artifact: Artifact, actual: str, expected: str) -> ArtifactError:
    return ArtifactError(
        f"{artifact.name} has {actual}; its manifest says {expected}: export it again",
        code="E-ONNX-MANIFEST",
    )
