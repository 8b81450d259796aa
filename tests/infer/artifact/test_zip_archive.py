"""Zip archives of torch as bytes: every member checked, the whole file written with its digest."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from ptx.infer.artifact import zip_archive
from ptx.infer.artifact.artifact import holds_members
from ptx.infer.artifact.formats import FORMATS
from ptx.infer.errors import ArtifactError


def made(members: Mapping[str, bytes], packed: tuple[str, ...] = ()) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            kind = zipfile.ZIP_DEFLATED if name in packed else zipfile.ZIP_STORED
            archive.writestr(name, content, kind)
    return buffer.getvalue()


WEIGHTS = bytes(range(256)) * 4
PLAIN = made({"m/data.pkl": b"pickle", "m/data/0": WEIGHTS, "m/version": b"3\n"})
VALID = zip_archive.embed_manifest(PLAIN, '{"a": 1}')


def test_members_come_without_their_folder() -> None:
    archive = zip_archive.read_archive(PLAIN, name="x")
    assert archive.root == "m"
    assert archive.members == {"data.pkl": b"pickle", "data/0": WEIGHTS, "version": b"3\n"}


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["data.pkl", "version"], "checkpoint"),
        (["data.pkl", "constants.pkl", "code/__torch__.py"], "torchscript"),
        (["data.pkl", "constants.pkl"], "checkpoint"),
        (["archive_format", "archive_version", "models/model.json"], "pt2"),
    ],
)
def test_the_kind_is_told_by_what_is_inside(names: list[str], kind: str) -> None:
    archive = (one for one, form in FORMATS.items() if form.container == zip_archive.__name__)
    assert next(one for one in archive if holds_members(names, FORMATS[one].members)) == kind


def test_the_manifest_is_attached_and_digested() -> None:
    assert zip_archive.check_digest(VALID)
    assert not zip_archive.check_digest(PLAIN)
    archive = zip_archive.read_archive(VALID, name="x")
    assert archive.members[zip_archive.MANIFEST_MEMBER] == b'{"a": 1}'
    assert archive.members["data/0"] == WEIGHTS


def test_the_same_content_gives_the_same_bytes() -> None:
    assert zip_archive.embed_manifest(PLAIN, '{"a": 1}') == VALID


def test_a_second_manifest_takes_the_place_of_the_first() -> None:
    again = zip_archive.embed_manifest(VALID, "{}")
    assert zip_archive.check_digest(again)
    assert zip_archive.read_archive(again, name="x").members[zip_archive.MANIFEST_MEMBER] == b"{}"


def test_members_can_be_dropped() -> None:
    dropped = zip_archive.embed_manifest(PLAIN, "{}", drop=("version",))
    assert "version" not in zip_archive.read_archive(dropped, name="x").members


def test_contents_stand_at_multiples_of_64_bytes() -> None:
    for name in ("data/0", "data.pkl"):
        archive = zip_archive.read_archive(VALID, name="x")
        assert VALID.index(archive.members[name]) % 64 == 0


def test_no_flipped_byte_keeps_the_digest() -> None:
    for position in range(len(VALID)):
        data = bytearray(VALID)
        data[position] ^= 0x11
        assert not zip_archive.check_digest(bytes(data)), position


def test_no_flipped_byte_gives_other_weights_or_another_error() -> None:
    for position in range(len(PLAIN)):
        for mask in (1, 0x80, 0xFF):
            data = bytearray(PLAIN)
            data[position] ^= mask
            try:
                members = zip_archive.read_archive(bytes(data), name="x").members
            except ArtifactError:
                continue
            assert members.get("data/0", WEIGHTS) == WEIGHTS, position


def test_no_cut_file_is_read() -> None:
    for length in range(len(PLAIN)):
        with pytest.raises(ArtifactError):
            zip_archive.read_archive(PLAIN[:length], name="x")


def twice() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile says what is done here on purpose
        for content in (b"1", b"2"):
            archive.writestr("m/data.pkl", content)
    return buffer.getvalue()


def lying() -> bytes:
    """A stored member that claims a gigabyte, in both of its headers."""
    data = bytearray(made({"m/data/0": b"abc"}))
    for signature, offset in ((b"PK\3\4", 18), (b"PK\1\2", 20)):
        place = data.index(signature) + offset
        data[place : place + 8] = struct.pack("<II", 2**30, 2**30)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PK\3\4", "is a damaged or truncated archive"),
        (made({}), "it is empty"),
        (made({"data.pkl": b""}), "are not in one folder"),
        (made({"a/x": b"", "b/x": b""}), "are not in one folder"),
        (made({"a/../x": b""}), "points outside"),
        (made({"a/./x": b""}), "points outside"),
        (made({"a//x": b""}), "points outside"),
        (made({"a/data/0": bytes(999)}, packed=("a/data/0",)), "its tensors are compressed"),
        (made({"a/code": bytes(65 * 2**20)}, packed=("a/code",)), "compressed members claim more"),
        (twice(), "a member occurs twice"),
        (lying(), "claim more bytes than the file has"),
    ],
)
def test_an_archive_that_torch_would_not_write_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(ArtifactError, match=message) as caught:
        zip_archive.read_archive(data, name="'a.pt'")
    assert caught.value.code == "E-ZIP"


def test_too_many_members_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_archive, "_MEMBER_LIMIT", 3)
    assert zip_archive.read_archive(made({f"m/data.pkl{n}": b"" for n in range(3)}), name="x")
    with pytest.raises(ArtifactError, match="it has 4 members"):
        zip_archive.read_archive(made({f"m/data.pkl{n}": b"" for n in range(4)}), name="x")


def test_compressed_code_is_read() -> None:
    data = made({"m/data.pkl": b"", "m/code/a.py": b"x = 1\n" * 99}, packed=("m/code/a.py",))
    assert zip_archive.read_archive(data, name="x").members["code/a.py"] == b"x = 1\n" * 99


def test_many_members_take_no_quadratic_time() -> None:
    data = made({f"m/{number}": b"" for number in range(8000)})
    assert len(zip_archive.read_archive(data, name="x").members) == 8000


def test_torch_reads_what_was_digested(tmp_path: Path) -> None:
    import torch

    torch.save({"a": torch.arange(3)}, tmp_path / "a.pt")
    digest_ok = zip_archive.embed_manifest((tmp_path / "a.pt").read_bytes(), "{}")
    loaded = torch.load(io.BytesIO(digest_ok), weights_only=True)
    assert loaded["a"].tolist() == [0, 1, 2]
