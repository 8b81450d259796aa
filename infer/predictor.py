"""The predictor: manifest, preprocessing, backend and decoding, ready to predict."""

from __future__ import annotations

import ctypes
import os
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends import PACKAGE_BACKENDS, Backend, DeviceBackend, find_backend
from ptx.infer.boxes import BoxFormat, LabelledBox, find_box_format, select_boxes
from ptx.infer.calibration import Calibration
from ptx.infer.checks import (
    check_device_inputs,
    check_device_outputs,
    check_inputs,
    check_outputs,
)
from ptx.infer.errors import ArtifactError, BackendError, InputError, UsageError, did_you_mean
from ptx.infer.prediction import Failure, Prediction, input_name, split_name
from ptx.infer.prefetch import Prefetcher, predict_stream
from ptx.infer.preprocessing import Preprocessing, detect_digits_in, open_preprocessing
from ptx.infer.ranges import BATCH_SIZE, BOX_THRESHOLD, SHOWN_LABELS
from ptx.infer.signature import Array, Signature
from ptx.infer.tasks import decoded_outputs, require_task

if TYPE_CHECKING:
    from ptx.infer.backends.ort.device_arrays import DeviceArray

TOP = 3  # default number of ranked labels per prediction
ON_ERROR = ("raise", "yield")  # of `predict_many`


class _Process:
    """The cached pid, refreshed after a fork: avoids the system call `getpid` for each prediction."""

    pid = os.getpid()


if hasattr(os, "register_at_fork"):  # POSIX only
    os.register_at_fork(after_in_child=lambda: setattr(_Process, "pid", os.getpid()))


class Predictor:
    """A loaded model that predicts. Created by `ptx.infer.load`; safe to use from many threads.

    A predictor that was loaded from a file can be pickled and copied: the copy opens the file again,
    which must have the same content, with the same options.

    Attributes:
        manifest: The manifest of the file.
        skipped: The backends that `auto` tried first, and why each cannot be used:
            `{"ort-cuda": "the NVIDIA driver is too old: …"}`. Empty on a machine without a driver.
        preprocessing: Converts raw inputs to input arrays.
    """

    def __init__(
        self,
        manifest: Manifest,
        open_backend: Callable[[], Backend],
        *,
        allow_nonfinite: bool = False,
        threshold: float | None = None,
        reopen: Callable[[], Predictor] | None = None,
        skipped: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.manifest, self.skipped = manifest, skipped
        self._reopen = reopen
        self._finite = not allow_nonfinite
        self.preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
        self._output = manifest.signature.outputs[0]
        self._task = require_task(manifest.task, manifest.signature.outputs, len(manifest.labels))
        self._box_format = _find_box_format(manifest, self.preprocessing, threshold)
        _, size = self.preprocessing.row_spec or ("", ())
        self._calibration = Calibration.from_data(
            manifest.calibration, manifest.task, size, len(manifest.labels)
        )
        self._open_backend = open_backend
        # The process that opened the backend, and the backend: None once closed.
        self._opened: tuple[int, Backend | None] = _Process.pid, open_backend()

    @property
    def signature(self) -> Signature:
        """The model's inputs and outputs."""
        return self.manifest.signature

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels in the order of the output; empty for a regression."""
        return self.manifest.labels

    @property
    def backend(self) -> Backend:
        """The opened backend, with its `name` and the `device` that it runs on."""
        process, backend = self._opened
        if backend is None:
            raise BackendError("the predictor has been closed", code="E-CLOSED")
        return backend if process == _Process.pid else self._after_fork(backend)

    @overload
    def run(
        self, inputs: Mapping[str, Any], *, device_outputs: Literal[False] = False
    ) -> dict[str, Array]: ...

    @overload
    def run(
        self, inputs: Mapping[str, Any], *, device_outputs: Literal[True]
    ) -> dict[str, DeviceArray]: ...

    def run(
        self, inputs: Mapping[str, Any], *, device_outputs: bool = False
    ) -> dict[str, Array] | dict[str, DeviceArray]:
        """Run the model without preprocessing and decoding: arrays in, arrays out.

        Args:
            inputs: An array for each input of the signature, with its axes; an empty batch gives
                empty outputs. An external ONNX file also accepts lists for sequences, None for
                optional inputs, and numbers for scalars, and returns outputs in the same way.
            device_outputs: Only for ort-cuda: leave the outputs on the GPU, and use inputs that are on
                the GPU without a copy. These may be anything with `__dlpack__`, such as tensors of
                PyTorch or arrays of CuPy, contiguous and with the signature's dtype; NumPy arrays are
                copied to the GPU. Names, dtypes and shapes are checked. Values on the GPU are not
                checked: they may not be finite, and for an index out of range ONNX Runtime uses a row
                of zeros. The call returns when the outputs are computed.

        Returns:
            An array for each output of the signature, by name.

        Raises:
            InputError: an array does not match the signature or is not finite.
            ArtifactError: the model's outputs are not finite or do not match its manifest.
            UsageError: the backend has no device outputs.
        """
        if device_outputs:
            return self._run_on_device(inputs)
        if self.manifest.signature.unchecked:
            from ptx.infer.external.unchecked import run_unchecked

            return run_unchecked(self.manifest, self.backend, inputs, finite=self._finite)
        return self.run_checked(*check_inputs(self.manifest.signature, inputs, finite=self._finite))

    def _run_on_device(self, inputs: Mapping[str, Any]) -> dict[str, DeviceArray]:
        backend, signature = self.backend, self.manifest.signature
        if not isinstance(backend, DeviceBackend) or signature.unchecked:
            raise UsageError(
                "device_outputs needs ort-cuda and a file that ptx exported; this model runs on"
                f" {backend.name}: omit it"
            )
        arrays, sizes = check_device_inputs(
            signature, inputs, backend.import_array, finite=self._finite
        )
        outputs = backend.run_on_device(arrays)
        check_device_outputs(signature.outputs, outputs, sizes)
        return outputs

    def run_checked(
        self, arrays: Mapping[str, Array], sizes: Mapping[str, int]
    ) -> dict[str, Array]:
        """The second part of `run`, after `ptx.infer.checks.check_inputs`.

        Args:
            arrays: The arrays that `check_inputs` returned, or several of them joined along the batch.
            sizes: The sizes of the dynamic axes, including the batch.

        Raises:
            ArtifactError: the model's outputs are not finite or do not match its manifest.
        """
        backend = self.backend
        if sizes["batch"] == 0:
            # ONNX Runtime aborts the process on an empty batch into an LSTM or a GRU.
            return {
                spec.name: np.zeros(spec.shape(sizes), spec.numpy_dtype)
                for spec in self.manifest.signature.outputs
            }
        with PACKAGE_BACKENDS.mapping_errors(backend.name):
            outputs = backend.run(arrays)
        check_outputs(self.manifest.signature.outputs, outputs, sizes, finite=self._finite)
        return outputs

    def predict(self, value: Any, *, top: int = TOP) -> Prediction:
        """Predict for one input.

        Args:
            value: A raw input for the model's preprocessing: for an image a path, bytes, a file
                object, a Pillow image, uint8 pixels or a preprocessed float sample; for other models
                a text, a number or several numbers.
            top: How many labels to rank.

        Raises:
            InputError: the value cannot be used.
            UsageError: `top` is not in its range, `ptx.infer.ranges.SHOWN_LABELS`.
        """
        self._require_decoder()
        sample = self.preprocessing.transform(value)
        prediction = self.predict_samples([sample], [input_name(value)], top=top)[0]
        # an attribute of `ptx.infer.digits.mnist.DigitPixels`
        ignored_regions = getattr(sample, "ignored_regions", ())
        return (
            replace(prediction, ignored_regions=ignored_regions) if ignored_regions else prediction
        )

    def predict_digits(self, value: Any, *, top: int = TOP) -> list[Prediction]:
        """Predict for each digit in an image, left to right, with its `box` and `ignored_regions`.

        Args:
            value: An image as for `predict`, of one or several digits.
            top: How many labels to rank.

        Raises:
            InputError: the image cannot be used, or nothing in it resembles a digit.
            UsageError: the model does not detect digits: its resize mode is not "mnist".
        """
        name, content = split_name(value)
        if isinstance(content, InputError):
            raise content
        digits = detect_digits_in(self.preprocessing, content)
        predictions = self.predict_samples(
            [digit.pixels for digit in digits], [name] * len(digits), top=top
        )
        return [
            replace(prediction, box=digit.box, ignored_regions=digit.ignored_regions)
            for prediction, digit in zip(predictions, digits, strict=True)
        ]

    @overload
    def predict_many(
        self,
        values: Iterable[Any] | Prefetcher,
        *,
        batch_size: int = 256,
        top: int = TOP,
    ) -> Iterator[Prediction]: ...

    @overload
    def predict_many(
        self,
        values: Iterable[Any] | Prefetcher,
        *,
        batch_size: int = 256,
        top: int = TOP,
        on_error: Literal["yield"],
    ) -> Iterator[Prediction | Failure]: ...

    def predict_many(
        self,
        values: Iterable[Any] | Prefetcher,
        *,
        batch_size: int = 256,
        top: int = TOP,
        on_error: Literal["raise", "yield"] = "raise",
    ) -> Iterator[Prediction | Failure]:
        """The predictions for a stream of inputs, in order and in bounded memory.

        Args:
            values: Inputs as for `predict`. A thread decodes the next batch while one is computed. A
                `ptx.infer.prefetch.Prefetcher` determines its own chunks.
            batch_size: Number of inputs that are decoded and computed at once.
            top: How many labels to rank.
            on_error: "raise" stops at the first input that cannot be used, after the predictions of
                the inputs before it; "yield" yields a `Failure` in its place and continues.

        Raises:
            InputError: an input cannot be used, with `on_error="raise"`.
            UsageError: an argument is not valid.
        """
        BATCH_SIZE.check("the batch size", batch_size)
        SHOWN_LABELS.check("top", top)
        if on_error not in ON_ERROR:
            raise UsageError(f"on_error is {on_error!r}; {did_you_mean(on_error, ON_ERROR)}")
        if isinstance(values, str | bytes):
            raise UsageError(
                f"the inputs are a single {type(values).__name__}; expected several, for example a list"
            )
        self._require_decoder()
        return predict_stream(self, values, batch_size, top, strict=on_error == "raise")

    def _require_decoder(self) -> None:
        """UsageError if the task does not say what the outputs mean."""
        if not self._task.has_decoder:
            self._task.decode(np.empty(0), (), 1)

    def predict_samples(
        self, samples: Sequence[Array], names: Sequence[str | None], *, top: int = TOP
    ) -> list[Prediction]:
        """Predict for one batch of samples from `preprocessing.transform`.

        Args:
            samples: Samples that can share a batch, see `ptx.infer.preprocessing.batch_key`.
            names: The name of each input, for its prediction.
            top: How many labels to rank.
        """
        SHOWN_LABELS.check("top", top)
        if not samples:
            return []
        outputs = self.run(self.preprocessing.collate(samples))
        return self.decode_outputs(outputs, names, top=top, samples=samples)

    def decode_outputs(
        self,
        outputs: Mapping[str, Array],
        names: Sequence[str | None],
        *,
        top: int = TOP,
        samples: Sequence[Array] = (),
    ) -> list[Prediction]:
        """The predictions for the outputs of `run`, one per row.

        Args:
            outputs: The outputs of `run`.
            names: The names of the inputs, one per row.
            top: How many labels to rank.
            samples: The samples that were run; the out-of-distribution detector needs them.

        Raises:
            ArtifactError: the outputs cannot be decoded by the model's task, or have no finite maximum.
            UsageError: the model's task is "passthrough".
        """
        first = outputs[self._output.name]
        if self._output.batch_axis:
            first = np.moveaxis(first, self._output.batch_axis, 0)
        if self._box_format is not None:
            first = self._read_boxes(outputs, self._box_format)
        if not self._finite and not np.isfinite(first.max(axis=-1)).all():
            raise ArtifactError(
                f"output {self._output.name!r} has no finite maximum, so that it cannot be decoded",
                code="E-NONFINITE",
            )
        backend, model = self.backend.name, self.manifest.model
        errors = None
        if self._calibration is not None:
            errors = _ErrorProbabilities(self._calibration, first, samples)
        decoded = self._task.decode(first, self.manifest.labels, top)
        return [
            Prediction(
                *output[:4],
                model,
                backend,
                input=input_name,
                compute_error_probability=partial(errors.of_row, row) if errors else None,
                vector=output.vector,
                class_map=output.class_map,
                boxes=None
                if output.boxes is None
                else self._place_boxes(output.boxes, samples[row] if samples else None),
            )
            for row, (output, input_name) in enumerate(zip(decoded, names, strict=True))
        ]

    def _read_boxes(self, outputs: Mapping[str, Array], box_format: BoxFormat) -> Array:
        """The boxes and scores of the outputs, as the task decodes them."""
        labels = len(self.labels)
        parts = [
            np.moveaxis(outputs[spec.name], spec.batch_axis, 0)
            for spec in decoded_outputs(self.manifest.task, self.signature.outputs, labels)
        ]
        return box_format.read(np.concatenate(parts, axis=-1), labels, self._model_size())

    def _model_size(self) -> tuple[int, int]:
        """Height and width of the images that the network gets."""
        assert self.preprocessing.row_spec is not None, "find_box_format demands images"
        height, width = self.preprocessing.row_spec[1]
        return height, width

    def _place_boxes(self, row: Array, sample: Array | None) -> tuple[LabelledBox, ...]:
        """The boxes of a sample in pixels of its image; of a ready sample in those of the network."""
        image_spec = self.preprocessing.image_spec
        assert self._box_format is not None, "the task decodes boxes"
        assert image_spec is not None, "find_box_format demands images"
        assert image_spec.to_original is not None, "find_box_format demands it"
        size: tuple[int, int] | None = getattr(sample, "original_size", None)
        found = select_boxes(row, self.labels, self._box_format.threshold)
        height, width = self._model_size()
        corners = np.array([each.box for each in found], np.float64).reshape(-1, 4)
        pixels = (
            corners * (width, height, width, height)
            if size is None
            else image_spec.to_original(corners, size)
        )
        return tuple(
            each._replace(box=tuple(sides))
            for each, sides in zip(found, pixels.tolist(), strict=True)
        )

    def classes(self, outputs: Mapping[str, Array]) -> Array | None:
        """The class index of each sample in the outputs of `run`; None for a regression."""
        if self._task.classes is None:
            return None
        first = outputs[self._output.name]
        return self._task.classes(np.moveaxis(first, self._output.batch_axis, 0))

    def close(self) -> None:
        """Close the backend."""
        process, backend = self._opened
        self._opened = process, None
        if process != _Process.pid:
            _keep_alive(backend)
        elif backend is not None:
            backend.close()

    def __enter__(self) -> Predictor:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        process, backend = getattr(self, "_opened", (0, None))
        if process != _Process.pid:
            _keep_alive(backend)

    def __reduce__(self) -> tuple[Callable[[], Predictor], tuple[()]]:
        reopen = self._require_reopen()
        try:
            pickle.dumps(reopen)
        except Exception as error:  # pickle has no base class of errors
            raise UsageError(
                f"the predictor of {self.manifest.model} cannot be pickled, because an argument of load"
                f" cannot: {error}; pass `network` as a function of a module"
            ) from error
        return reopen, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Predictor:
        return self._require_reopen()()

    def _require_reopen(self) -> Callable[[], Predictor]:
        if self._opened[1] is None:
            raise BackendError("the predictor has been closed", code="E-CLOSED")
        if self._reopen is None:
            raise UsageError(
                f"the predictor of {self.manifest.model} cannot be pickled or copied, because it was"
                " not loaded from a file: use ptx.infer.load with a path"
            )
        return self._reopen

    def __repr__(self) -> str:
        _, backend = self._opened
        if backend is None:
            return f"<Predictor of {self.manifest.model}, closed>"
        return f"<Predictor of {self.manifest.model} on {backend.name} ({backend.device})>"

    def _after_fork(self, inherited: Backend) -> Backend:
        """Open the backend again in a forked child; the inherited one is never used again."""
        if not find_backend(inherited.name).fork_safe:
            raise BackendError(
                f"backend {inherited.name!r} does not survive a fork: load the model in the child, or"
                " start the child with multiprocessing's 'spawn'",
                code="E-FORK",
            )
        _keep_alive(inherited)
        backend = self._open_backend()
        self._opened = _Process.pid, backend
        return backend


def _find_box_format(
    manifest: Manifest, preprocessing: Preprocessing, threshold: float | None
) -> BoxFormat | None:
    """The box format of the manifest, with another threshold if one is given."""
    try:
        found = find_box_format(manifest.task, manifest.boxes, preprocessing)
    except ValueError as error:
        raise ArtifactError(
            f"the manifest's boxes are not valid: {error}", code="E-MANIFEST"
        ) from error
    if threshold is None:
        return found
    BOX_THRESHOLD.check("the threshold", threshold)
    if found is None:
        raise UsageError(f"a threshold is for the task 'boxes'; the model's is {manifest.task!r}")
    return replace(found, threshold=threshold)


class _ErrorProbabilities:
    """The error probabilities of a batch, computed together on first access."""

    def __init__(self, calibration: Calibration, logits: Array, samples: Sequence[Array]) -> None:
        self._compute = partial(calibration.error_probabilities, logits, samples)

    @cached_property
    def _rows(self) -> list[float] | None:
        return self._compute()

    def of_row(self, row: int) -> float | None:
        return None if self._rows is None else self._rows[row]


def _keep_alive(inherited: Backend | None) -> None:
    """Never destroy a backend in a forked child: an ONNX Runtime session then hangs or crashes."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(inherited))
