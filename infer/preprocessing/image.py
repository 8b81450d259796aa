"""Pictures to normalised input arrays."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ptx.infer.fit import FITS, WORKING_SIDE
from ptx.infer.guard import is_finite
from ptx.infer.preprocessing.picture import open_picture, ready_sample
from ptx.infer.signature import Array, Signature, TensorSpec


class ImagePreprocessing:
    """A single-channel picture, fitted to the model's size, scaled to [0, 1] and normalised.

    A value is a path, the bytes of a picture file, a binary file object, a Pillow image, a uint8 array
    (height, width[, channels]), or a float array that is one ready sample of the model's input.

    The way from a pixel (0 to 255) to a number is a table of 256 entries, `(pixel/255 − mean)/std`, each
    step in float32: the same table serves training on any device, so that both agree bit for bit.
    """

    def __init__(
        self,
        signature: Signature,
        *,
        size: Sequence[int],
        fit: str,
        mean: float = 0.0,
        std: float = 1.0,
    ) -> None:
        if fit not in FITS:
            raise ValueError(f"fit is {fit!r}; known: {', '.join(FITS)}")
        if len(signature.inputs) != 1 or signature.inputs[0].dtype != "float32":
            raise ValueError("an image model has one float32 input")
        self.spec: TensorSpec = signature.inputs[0]
        self.height, self.width = (int(length) for length in size)
        if self.height < 1 or self.width < 1:
            raise ValueError(f"size is {list(size)}; expected [height, width] in pixels")
        self.fit = fit
        self.mean, self.std = float(mean), float(std)
        with np.errstate(over="ignore"):
            single = np.asarray([self.mean, self.std], np.float32)
        if not is_finite(single) or not single[1] > 0:
            raise ValueError(f"mean is {mean!r}, std is {std!r}; expected a positive number")
        fixed = [axis for axis in self.spec.sample_axes if isinstance(axis, int)]
        free = len(self.spec.sample_axes) - len(fixed)
        rest = self.height * self.width
        for axis in fixed:
            rest = rest // axis if rest % axis == 0 else 0
        if free > 1 or rest == 0 or (free == 0 and rest != 1):
            raise ValueError(f"a picture of {self.height}×{self.width} does not fill {self.spec}")

    @property
    def expects(self) -> str:
        return "a picture"

    @cached_property
    def table(self) -> Array:
        """float32 (256,): the number for each pixel value."""
        scaled = np.arange(256, dtype=np.float32) / np.float32(255)
        table: Array = (scaled - np.float32(self.mean)) / np.float32(self.std)
        return table

    @cached_property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample; −1 stands for the dynamic axis of a sequence of rows."""
        return tuple(axis if isinstance(axis, int) else -1 for axis in self.spec.sample_axes)

    def read(self, value: Any) -> Array:
        """uint8 (height, width) pixels, or a ready float sample as it is."""
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            return ready_sample(self.spec, value)
        # A larger picture is made smaller while it is decoded.
        image = open_picture(value, least=WORKING_SIDE)
        return FITS[self.fit](image, (self.width, self.height))

    def shape_key(self, sample: Array) -> Hashable:
        return sample.dtype.kind, sample.shape

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        batch = samples[0][np.newaxis] if len(samples) == 1 else np.stack(samples)
        return {self.spec.name: self.arrange(batch)}

    def arrange(self, batch: Array) -> Array:
        """The input array of uint8 pixels (batch, height, width) or of ready samples.

        The result is float32 in the signature's axes, with the batch where it has its place.
        """
        if batch.dtype == np.uint8:
            batch = np.take(self.table, batch).reshape(len(batch), *self.sample_shape)
        axis = self.spec.batch_axis
        return batch if axis == 0 else np.ascontiguousarray(np.moveaxis(batch, 0, axis))
