"""A TIFF of many pages is refused before all of them are parsed; AVIF is read where Pillow reads it."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin, features

from ptx.infer.errors import InputError
from ptx.infer.images import formats
from ptx.infer.images.decode import decode

TAGS = ((256, 1), (257, 1), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 1), (279, 1))
PAGE = 2 + 12 * len(TAGS) + 4  # bytes


def pages(count: int) -> bytes:
    """A TIFF of pages of one pixel, the values of which are all at byte 8."""
    directory = struct.pack("<H", len(TAGS))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in TAGS)
    ends = [10 + PAGE * (page + 1) for page in range(count - 1)] + [0]
    head = b"II*\0" + struct.pack("<I", 10) + b"\x80\0"
    return head + b"".join(directory + struct.pack("<I", end) for end in ends)


def test_no_more_pages_are_parsed_than_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed, load = [], TiffImagePlugin.ImageFileDirectory_v2.load

    def counting(directory: Any, file: Any) -> None:
        parsed.append(file.tell())
        load(directory, file)

    monkeypatch.setattr(TiffImagePlugin.ImageFileDirectory_v2, "load", counting)
    with pytest.raises(InputError, match="more than 1,000") as caught:
        decode(pages(5000))
    assert caught.value.code == "E-IMG-FRAMES"
    assert max(parsed) < 10 + 1100 * PAGE


def test_pages_are_counted_and_chosen() -> None:
    with pytest.raises(InputError, match="has 3 frames"):
        decode(pages(3))
    assert decode(pages(1)).size == (1, 1)
    assert decode(pages(1200), frame=1100).size == (1, 1)
    with pytest.raises(InputError, match="frame 3 does not exist"):
        decode(pages(3), frame=3)


def avif() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((16, 24, 3), (10, 200, 30), np.uint8)).save(buffer, "AVIF")
    return buffer.getvalue()


@pytest.mark.skipif(not features.check("avif"), reason="Pillow is built without AVIF")
def test_avif_is_read(ptx: Any, workspace: Path, seven: Path, tmp_path: Path) -> None:
    image = decode(avif())
    assert (image.mode, image.size) == ("RGB", (24, 16))
    assert np.abs(np.asarray(image).astype(int) - (10, 200, 30)).max() <= 3

    with Image.open(seven) as picture:
        picture.convert("RGB").save(tmp_path / "seven.avif", "AVIF")
    done = ptx("predict", tmp_path, "--workspace", workspace)
    assert done.code == 0, done.err
    assert done.out.startswith(f"{tmp_path / 'seven.avif'}: 7")


@pytest.mark.skipif(not features.check("avif"), reason="it cannot be made here")
def test_avif_that_pillow_cannot_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = avif()
    monkeypatch.setattr(formats, "_supports_avif", lambda: False)
    with pytest.raises(InputError, match="looks like AVIF") as caught:
        decode(data)
    assert caught.value.code == "E-IMG-FORMAT"
    assert ", AVIF" not in str(caught.value)
