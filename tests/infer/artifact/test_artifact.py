"""Model files: told by their content, and refused when a single byte is not what was written."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ptx.infer.artifact import onnx_bytes, zip_archive
from ptx.infer.artifact.artifact import Artifact, parse_artifact, read_artifact
from ptx.infer.errors import ArtifactError

Export = Callable[[str, str], Path]
FORMATS = ("onnx", "torchscript", "pt2", "checkpoint")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_is_told_by_its_content(artifact: Export, tmp_path: Path, kind: str) -> None:
    renamed = tmp_path / "model.zip"
    renamed.write_bytes(artifact("linear-model", kind).read_bytes())
    read = read_artifact(renamed)
    assert read.kind == kind
    assert read.digest_ok
    assert read.require_manifest().model == "linear-model"
    assert read.sha256 == hashlib.sha256(renamed.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", FORMATS)
def test_no_flipped_byte_gives_a_manifest(artifact: Export, kind: str) -> None:
    """Every byte of the headers and 400 positions between them, with a bit and with all of them."""
    whole = artifact("linear-model", kind).read_bytes()
    random = np.random.default_rng(0).integers(0, len(whole), 400)
    ends = [*range(100), *range(len(whole) - 200, len(whole))]
    for position in {*ends, *random.tolist()}:
        for mask in (0x01, 0x40, 0xFF):
            data = bytearray(whole)
            data[position] ^= mask
            with pytest.raises(ArtifactError):
                parse_artifact(bytes(data), path=Path("a")).require_manifest()


@pytest.mark.parametrize("kind", FORMATS)
def test_no_cut_or_longer_file_gives_a_manifest(artifact: Export, kind: str) -> None:
    whole = artifact("linear-model", kind).read_bytes()
    lengths = {*range(64), *range(64, len(whole), 97), *range(len(whole) - 150, len(whole))}
    for data in (*(whole[:length] for length in lengths), whole + b"\0", whole + whole):
        with pytest.raises(ArtifactError):
            parse_artifact(data, path=Path("a")).require_manifest()


def empty_zip(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, b"")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "'a\\n.onnx' is empty; expected an ONNX file, a TorchScript archive"),
        (b"hello\n", "is text; expected"),
        (b"\x89PNG\r\n\x1a\n", "is a PNG image; expected"),
        (b"\xff\xd8\xff\xe0", "is a JPEG image"),
        (b"\x80\x02}q\0.", "is a bare pickle or a legacy checkpoint"),
        (b"\x93NUMPY\1\0", "is a NumPy array"),
        (bytes([200, 0, 7]), "has an unknown format"),
        (empty_zip("a/document.xml"), "is a zip archive; expected"),
    ],
)
def test_what_a_file_looks_like_is_said(data: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=re.escape(message)) as caught:
        parse_artifact(data, path=Path("a\n.onnx"))
    assert caught.value.code == "E-ARTIFACT-FORMAT"
    assert "\n" not in str(caught.value)


def test_a_model_without_a_manifest_is_read_and_not_used(linear_onnx: Artifact) -> None:
    header = onnx_bytes.read_header(linear_onnx.data, name="x")
    manifest_field = linear_onnx.data.index(b"ptx.manifest")
    graph_end = max(header.graph[1], linear_onnx.data.rindex(b"r", 0, manifest_field))
    bare = parse_artifact(linear_onnx.data[:graph_end], path=Path("bare.onnx"))
    assert bare.kind == "onnx"
    assert bare.manifest is None
    with pytest.raises(
        ArtifactError, match="an ONNX file without a ptx manifest; expected one"
    ) as e:
        bare.require_manifest()
    assert e.value.code == "E-MANIFEST-MISSING"


def test_a_changed_weight_is_said_to_be_one(linear_onnx: Artifact) -> None:
    data = bytearray(linear_onnx.data)
    data[onnx_bytes.read_header(linear_onnx.data, name="x").graph[0] + 5] ^= 1
    changed = parse_artifact(bytes(data), path=Path("a.onnx"))
    assert changed.manifest is not None
    with pytest.raises(ArtifactError, match="has changed since it was written") as caught:
        changed.require_manifest()
    assert caught.value.code == "E-HASH"


def test_a_changed_manifest_is_said_to_be_one(linear_onnx: Artifact) -> None:
    data = linear_onnx.data.replace(b'{"format":1', b'{"format":2')
    with pytest.raises(
        ArtifactError, match="neither its content digest nor its manifest is valid"
    ) as caught:
        parse_artifact(data, path=Path("a.onnx"))
    assert caught.value.code == "E-HASH"


def test_a_digested_manifest_that_is_wrong_is_said_to_be_wrong(linear_onnx: Artifact) -> None:
    header = onnx_bytes.read_header(linear_onnx.data, name="x")
    wrong = onnx_bytes.embed_manifest(linear_onnx.data[: header.graph[1]], "{}")
    with pytest.raises(ArtifactError, match="'format' is missing") as caught:
        parse_artifact(wrong, path=Path("a.onnx"))
    assert caught.value.code == "E-MANIFEST"


def test_a_zip_comment_is_not_enough_of_a_digest(artifact: Export) -> None:
    """The content digest stands over the end record too: a comment of another length is another file."""
    data = artifact("linear-model", "checkpoint").read_bytes()
    end = data.rindex(b"PK\5\6")
    assert struct.unpack_from("<H", data, end + 20) == (zip_archive.DIGEST_SIZE,)
    assert data[end + 22 :] == hashlib.sha256(data[: end + 22]).hexdigest().encode()
