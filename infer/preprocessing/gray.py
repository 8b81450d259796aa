"""Pictures in one channel, gray, to normalised input arrays; in a card the kind `image`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ptx.infer.artifact.golden import Raw
from ptx.infer.checks import is_finite
from ptx.infer.picture.fit import FITS, least_size
from ptx.infer.preprocessing import Pictures
from ptx.infer.preprocessing.picture import (
    SUFFIXES,
    check_steps,
    open_picture,
    picture_input,
    pixel_steps,
    pixel_table,
    pixels_as_png,
    ready_sample,
    sample_key,
    stack_samples,
    two_lengths,
)
from ptx.infer.signature import Array, Signature, TensorSpec

if TYPE_CHECKING:
    from PIL.Image import Image


class GrayPreprocessing:
    """A single-channel picture, fitted to the model's size, scaled to [0, 1] and normalised.

    A value is a path, the bytes of a picture file, a binary file object, a Pillow image, a uint8 array
    (height, width[, channels]), or a float array that is one ready sample of the model's input.

    The way from a pixel (0 to 255) to a number is a table of 256 entries, `(pixel/255 − mean)/std`, each
    step in float32: the same table serves training on any device, so that both agree bit for bit.
    """

    expects, noun, suffixes = "a picture", "pictures", SUFFIXES
    columns = ()
    dimensions = 2

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
        self.spec: TensorSpec = picture_input(signature)
        self.specs = (self.spec,)
        self.height, self.width = two_lengths("size", size)
        self.rows = "image", (self.height, self.width)
        self.fit = fit
        self.mean, self.std = float(mean), float(std)
        with np.errstate(over="ignore"):
            single = np.asarray([self.mean, self.std], np.float32)
        if not is_finite(single) or not single[1] > 0:
            raise ValueError(f"mean is {mean!r}, std is {std!r}; expected a positive number")
        check_steps(self.spec, *single)
        fixed = [axis for axis in self.spec.sample_axes if isinstance(axis, int)]
        free = len(self.spec.sample_axes) - len(fixed)
        rest = self.height * self.width
        for axis in fixed:
            rest = rest // axis if rest % axis == 0 else 0
        if free > 1 or rest == 0 or (free == 0 and rest != 1):
            raise ValueError(f"a picture of {self.height}×{self.width} does not fill {self.spec}")

    @cached_property
    def table(self) -> Array:
        """float32 (256,): the number for each pixel value."""
        return pixel_table(np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32))

    @property
    def pictures(self) -> Pictures:
        steps = pixel_steps(np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32))
        return Pictures(self._fitted, self.fit, self.table, self.sample_shape, steps=steps)

    @cached_property
    def sample_shape(self) -> tuple[int, ...]:
        """The shape of one sample; −1 stands for the dynamic axis of a sequence of rows."""
        return tuple(axis if isinstance(axis, int) else -1 for axis in self.spec.sample_axes)

    def read(self, value: Any) -> Array:
        """uint8 (height, width) pixels, or a ready float sample as it is."""
        ready = ready_sample(self.spec, value)
        if ready is not None:
            return ready
        # A larger picture is made smaller while it is decoded.
        image = open_picture(value, least=least_size)
        return self._fitted(image)

    def read_rows(self, rows: Array, names: Sequence[str] = ()) -> Sequence[Array]:
        return list(rows)

    def raw(self, row: Any, names: Sequence[str] = ()) -> Raw:
        return pixels_as_png(row)

    def shape_key(self, sample: Array) -> Hashable:
        return sample_key(sample)

    def collate(self, samples: Sequence[Array]) -> dict[str, Array]:
        return {self.spec.name: self.arrange(stack_samples(samples))}

    def examples(self) -> tuple[Raw, ...]:
        from ptx.infer.preprocessing.examples import picture_examples

        return picture_examples()

    def _fitted(self, image: Image) -> Array:
        return FITS[self.fit](image, (self.width, self.height))

    def arrange(self, batch: Array) -> Array:
        """The input array of uint8 pixels (batch, height, width) or of ready samples.

        The result is float32 in the signature's axes, with the batch where it has its place; or the
        pixels, where the network takes those.
        """
        if batch.dtype == np.uint8 and self.spec.is_float:
            # No uint8 lies outside the table: "wrap" leaves out the buffer that "raise" needs.
            batch = self.table.take(batch, mode="wrap").reshape(len(batch), *self.sample_shape)
        return self.spec.place_batch(batch)
