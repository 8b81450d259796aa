"""Networks with pixels as input: the preprocessing after resizing becomes part of the graph.

A runtime then needs no mean and standard deviation. Decoding and resizing stay outside, since the
ONNX operators for them (DecodeImage, Resize) compute other pixels than ptx does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from ptx.export.source import TrainedModel
from ptx.infer.artifact.manifest import Manifest
from ptx.infer.backends.pytorch.outputs import find_outputs
from ptx.infer.errors import UsageError
from ptx.infer.preprocessing import ImageSpec, Preprocessing, open_preprocessing
from ptx.infer.signature import BATCH, Array, Signature, TensorSpec
from ptx.infer.tasks import classification, find_task

_EMBEDDED_SETTINGS = ("mean", "std")
PIXELS, PROBABILITIES, LABEL = "pixels", "probabilities", "label"
_OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {  # of ImageSpec.normalization
    "divide": torch.div,
    "subtract": torch.sub,
}


def embed_preprocessing(trained: TrainedModel) -> TrainedModel:
    """The model with pixels as its input, uint8 (batch, height, width[, channels]).

    The images are resized to the model's size, as `preprocessing.transform` does. A classifier gets the
    additional outputs `probabilities` and `label`, the index of the largest.

    Raises:
        UsageError: its inputs are not images, or it already has an output of that name.
    """
    manifest = trained.manifest
    preprocessing = open_preprocessing(manifest.preprocessing, manifest.signature)
    image_spec, (spec, *_) = preprocessing.image_spec, manifest.signature.inputs
    if image_spec is None or preprocessing.row_spec is None or spec.dtype != "float32":
        raise UsageError(
            f"the inputs of {manifest.model} are not images that are converted to float32 (preprocessing"
            f" {manifest.preprocessing['kind']!r}, {spec.dtype}): --embed-preprocessing is not for it"
        )
    size = preprocessing.row_spec[1]
    added = _added_outputs(manifest)
    channels = () if image_spec.channels is None else (image_spec.channels,)
    pixels = TensorSpec(PIXELS, "uint8", (BATCH, *size, *channels))
    shape = [size[0] if axis == -1 else axis for axis in image_spec.sample_shape]
    # A dynamic axis, such as the rows of a sequence, has the size of the image.
    fixed = dict(zip(spec.sample_axes, shape, strict=True))
    outputs = [
        replace(one, axes=tuple(fixed.get(axis, axis) for axis in one.axes))
        for one in (*manifest.signature.outputs, *added)
    ]
    network = PixelNetwork(trained.network, manifest.signature, image_spec, shape, len(added))
    return replace(
        trained,
        network=network.eval(),
        manifest=replace(
            manifest,
            signature=Signature((pixels,), tuple(outputs)),
            preprocessing={
                key: v for key, v in manifest.preprocessing.items() if key not in _EMBEDDED_SETTINGS
            },
        ),
        samples=_as_pixels(trained.samples.get(spec.name), preprocessing, image_spec, pixels),
    )


class PixelNetwork(nn.Module):
    """A network preceded by its normalization of pixels, which is computed in float32."""

    def __init__(
        self,
        network: nn.Module,
        signature: Signature,
        image_spec: ImageSpec,
        shape: list[int],
        added: int,
    ) -> None:
        super().__init__()
        self.network = network
        self._signature, self._added = signature, added
        self._steps = [(name, torch.from_numpy(by)) for name, by in image_spec.normalization]
        self._channels = None if image_spec.channels is None else image_spec.channel_axis
        self._shape = shape

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        numbers = pixels.to(torch.float32)
        for name, by in self._steps:
            numbers = _OPERATIONS[name](numbers, by)
        if self._channels is not None:
            numbers = numbers.movedim(3, 1 + self._channels)
        elif list(numbers.shape[1:]) != self._shape:
            numbers = numbers.reshape(-1, *self._shape)
        (spec,) = self._signature.inputs
        if spec.batch_axis:
            numbers = numbers.movedim(0, spec.batch_axis)
        if any(weight.dtype == torch.float64 for weight in self.network.parameters()):
            numbers = numbers.to(torch.float64)
        outputs = find_outputs(self._signature, self.network(numbers))
        first = outputs[0]
        return (*outputs, *(first.softmax(-1), first.argmax(-1))[: self._added])


def _added_outputs(manifest: Manifest) -> tuple[TensorSpec, ...]:
    """The outputs that are added to a classifier."""
    first = manifest.signature.outputs[0]
    if find_task(manifest.task).decode is not classification:
        return ()
    for name in (PROBABILITIES, LABEL):
        if any(spec.name == name for spec in manifest.signature.outputs):
            raise UsageError(f"{manifest.model} already has an output {name!r}")
    return (
        TensorSpec(PROBABILITIES, first.dtype, first.axes),
        TensorSpec(LABEL, "int64", first.axes[:-1]),
    )


def _as_pixels(
    inputs: Array | None, preprocessing: Preprocessing, image_spec: ImageSpec, pixels: TensorSpec
) -> dict[str, Array]:
    """The pixels from which real inputs were made; none if they were not made from pixels."""
    if inputs is None:
        return {}
    (spec,) = preprocessing.specs
    rows = np.moveaxis(inputs, spec.batch_axis, 0)
    if image_spec.channels is not None:
        rows = np.moveaxis(rows, 1 + image_spec.channel_axis, -1)
    axes = [int(axis) for axis in pixels.sample_axes]
    tables = image_spec.lookup_table.reshape(-1, 256)
    rows = rows.reshape(len(rows), axes[0], axes[1], len(tables))
    levels = [table.searchsorted(rows[..., channel]) for channel, table in enumerate(tables)]
    restored = np.stack(levels, axis=-1).clip(0, 255).astype(np.uint8).reshape(len(rows), *axes)
    repeated = preprocessing.collate(list(restored))[spec.name]
    return {PIXELS: restored} if np.array_equal(repeated, inputs) else {}
