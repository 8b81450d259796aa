"""PyTorch's zip archives as bytes: checkpoints, TorchScript and `.pt2`, with manifest and content
digest.

`torch.load` and `torch.jit.load` do not check the zip's CRCs (pytorch/pytorch#126952): a flipped bit
becomes another weight. Here each member is read through `zipfile`, which checks them. The content digest
is the comment at the end of the zip file: the sha256 of all bytes before it. So it covers the zip's own
fields too, which another reader may interpret differently from `zipfile`.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from ptx.infer.artifact.formats import Content
from ptx.infer.errors import ArtifactError

MANIFEST_MEMBER = "extra/ptx.manifest.json"
DIGEST_SIZE = 64  # hexadecimal digits of a sha256

_MEMBER_LIMIT = 100_000
_CODE_LIMIT = 64 * 2**20  # bytes of unpacked members: TorchScript compresses its code
_EPOCH = (1980, 1, 1, 0, 0, 0)  # a fixed date, so that the same content gives the same bytes
# What `zipfile` raises for damaged files.
_DAMAGE = (
    zipfile.BadZipFile,
    ValueError,
    RuntimeError,
    EOFError,
    OSError,
    LookupError,
    OverflowError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class Archive:
    """The members of an archive, named relative to the folder that contains all of them."""

    root: str  # that folder
    members: dict[str, bytes]


def read_content(data: bytes, *, name: str) -> Content | None:
    """The manifest, whether the content digest matches, and the names of the members; None if `data`
    does not start like a zip file.

    Raises:
        ArtifactError: as `read_archive`.
    """
    if not data.startswith(b"PK"):
        return None
    members = read_archive(data, name=name).members
    return Content(members.get(MANIFEST_MEMBER), check_digest(data), members.keys())


def read_archive(data: bytes, *, name: str) -> Archive:
    """Read and check every member.

    Raises:
        ArtifactError: it is truncated or damaged, a member occurs twice or is outside the archive's
            folder, or tensors are compressed (a zip bomb).
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
            _check_members(infos, len(data))
            members = {info.filename: archive.read(info) for info in infos}
    except _DAMAGE as error:
        raise ArtifactError(
            f"{name} is a damaged or truncated archive: {error or type(error).__name__}",
            code="E-ZIP",
        ) from error
    root = next(iter(members)).partition("/")[0]
    return Archive(root, {name.partition("/")[2]: content for name, content in members.items()})


def check_digest(data: bytes) -> bool:
    """Whether the content digest matches, so that the file is byte for byte what was written."""
    return data[-DIGEST_SIZE:] == _content_digest(memoryview(data)[:-DIGEST_SIZE])


def embed_manifest(data: bytes, manifest: str, *, drop: tuple[str, ...] = ()) -> bytes:
    """Add a manifest and the content digest to an archive; `drop`: suffixes of members to remove."""
    archive = read_archive(data, name="the archive")
    members = {
        name: content
        for name, content in archive.members.items()
        if not name.endswith(drop or "\0")
    }
    members[MANIFEST_MEMBER] = manifest.encode("utf-8")
    content = memoryview(_write(archive.root, members))[:-DIGEST_SIZE]
    return b"".join((content, _content_digest(content)))


def _content_digest(content: memoryview) -> bytes:
    return hashlib.sha256(content).hexdigest().encode("ascii")


def _write(root: str, members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(f"{root}/{name}", _EPOCH)
            # PyTorch maps tensors into memory: their content must start at a multiple of 64 bytes.
            unaligned = (buffer.tell() + 30 + len(info.filename.encode()) + 4) % 64
            info.extra = b"FB" + (-unaligned % 64).to_bytes(2, "little") + b"Z" * (-unaligned % 64)
            archive.writestr(info, content)
        archive.comment = b"0" * DIGEST_SIZE  # replaced by the content digest
    return buffer.getvalue()


def _check_members(infos: list[zipfile.ZipInfo], size: int) -> None:
    if not infos:
        raise ValueError("it is empty")
    if len(infos) > _MEMBER_LIMIT:
        raise ValueError(f"it has {len(infos):,} members")
    if min(info.header_offset for info in infos) != 0:
        # A truncated `.pt2` may end inside an archive that it contains: `zipfile` would read that one.
        raise ValueError("it does not begin with its first member")
    names = [info.filename for info in infos]
    if len(set(names)) != len(names):
        raise ValueError("a member occurs twice")
    if len({name.partition("/")[0] for name in names}) != 1 or any(
        "/" not in name for name in names
    ):
        raise ValueError("its members are not in one folder, as PyTorch writes them")
    if any(part in ("", ".", "..") for name in names for part in name.split("/")):
        raise ValueError("a member points outside the archive")
    compressed = [info for info in infos if info.compress_type != zipfile.ZIP_STORED]
    if any("/data/" in info.filename for info in compressed):
        raise ValueError("its tensors are compressed; PyTorch stores them uncompressed")
    if sum(info.file_size for info in compressed) > _CODE_LIMIT:
        raise ValueError(f"its compressed members claim more than {_CODE_LIMIT:,} bytes")
    if sum(info.file_size for info in infos if info.compress_type == zipfile.ZIP_STORED) > size:
        raise ValueError("its members claim more bytes than the file has")
