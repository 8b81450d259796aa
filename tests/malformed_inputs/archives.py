"""TorchScript, `.pt2` and checkpoints: damaged, packed, pointing elsewhere, or running code."""

from __future__ import annotations

import io
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

from ptx.infer.artifact import zip_archive
from ptx.infer.artifact.artifact import read_artifact

from .case import Case, Group, Kit, bind

program = Group("program", ".torchscript")
checkpoint = Group("checkpoint", ".pt")
state = Group("state dict", ".pth")
unread = Group("unrun", ".pt")


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Any) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.marker),)


def cut(suffix: str, tenths: int) -> Callable[[Kit], bytes]:
    def make(kit: Kit) -> bytes:
        data = kit.model(suffix).read_bytes()
        return data[: len(data) * tenths // 10]

    return make


def zipped(members: dict[str, bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return target.getvalue()


def rezipped(suffix: str, **more: bytes) -> Callable[[Kit], bytes]:
    """The file with further members, written with its digest anew."""

    def make(kit: Kit) -> bytes:
        target = io.BytesIO(kit.model(suffix).read_bytes())
        with zipfile.ZipFile(target, "a") as archive:
            archive.comment = b"0" * 64
            for name, content in more.items():
                archive.writestr(name, content)
        return rewritten(target.getvalue())

    return make


def rewritten(data: bytes) -> bytes:
    content = memoryview(data)[: -zip_archive.DIGEST_SIZE]
    return bytes(content) + zip_archive._content_digest(content)


def flipped(suffix: str) -> Callable[[Kit], bytes]:
    def make(kit: Kit) -> bytes:
        data = bytearray(kit.model(suffix).read_bytes())
        data[len(data) // 2] ^= 4
        return bytes(data)

    return make


def packed(suffix: str) -> Callable[[Kit], bytes]:
    """All members deflated, tensors too, written with its digest anew."""

    def make(kit: Kit) -> bytes:
        source = zipfile.ZipFile(io.BytesIO(kit.model(suffix).read_bytes()))
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for info in source.infolist():
                archive.writestr(info.filename, source.read(info))
            archive.comment = b"0" * 64
        return rewritten(target.getvalue())

    return make


def without_manifest(suffix: str) -> Callable[[Kit], bytes]:
    def make(kit: Kit) -> bytes:
        source = zipfile.ZipFile(io.BytesIO(kit.model(suffix).read_bytes()))
        names = [name for name in source.namelist() if not name.endswith(".json")]
        return zipped({name: source.read(name) for name in names})

    return make


def saved(make: Callable[[Kit], Any]) -> Callable[[Kit], bytes]:
    """A bare file of `torch.save`."""

    def write(kit: Kit) -> bytes:
        import torch

        target = io.BytesIO()
        torch.save(make(kit), target)
        return target.getvalue()

    return write


def weights(kit: Kit, **changes: Any) -> dict[str, Any]:
    """The convnet's state dict with other entries; None takes one away."""
    from ptx.models.checkpoint import loads

    found: dict[str, Any] = dict(loads(kit.model("pt").read_bytes()).weights)
    found |= {name.replace("__", "."): value for name, value in changes.items()}
    return {name: value for name, value in found.items() if value is not None}


def carded(make: Callable[[Kit], Any]) -> Callable[[Kit], bytes]:
    """What `torch.save` writes, with the checkpoint's own manifest and a valid content digest."""

    def write(kit: Kit) -> bytes:
        manifest = read_artifact(kit.model("pt")).require_manifest()
        return zip_archive.embed_manifest(saved(make)(kit), manifest.to_json())

    return write


def whole(kit: Kit, **changes: Any) -> dict[str, Any]:
    """A checkpoint with other weights."""
    import torch

    data: dict[str, Any] = torch.load(io.BytesIO(kit.model("pt").read_bytes()), weights_only=True)
    return {**data, "weights": weights(kit, **changes)}


def with_more(make: Callable[[], Any]) -> Callable[[Kit], Any]:
    """A checkpoint with another entry among its weights."""
    return lambda kit: whole(kit, more=make())


def writing(kit: Kit) -> bytes:
    from ..conftest import writing_program

    return writing_program(kit.model("torchscript", "linear-model").read_bytes(), kit.marker)


def bias(*shape: int, fill: float = 0.0, dtype: str = "float32") -> Any:
    import torch

    return torch.full(shape, fill, dtype=getattr(torch, dtype))


BOMB = zipped(
    {"a/constants.pkl": b"", "a/code/x.py": b"", "a/data/0": bytes(300_000_000)},
    zipfile.ZIP_DEFLATED,
)
CODE_BOMB = zipped(
    {"a/constants.pkl": b"", "a/code/x.py": bytes(300_000_000)}, zipfile.ZIP_DEFLATED
)
PT2 = {"a/archive_format": b"pt2", "a/archive_version": b"0"}
ELSEWHERE = {"a/constants.pkl": b"", "a/code/../../../etc/x": b"x"}

PROGRAMS = [
    *(
        program(
            f"a {suffix} that was exported elsewhere",
            bind(
                lambda kit, suffix: rezipped(suffix, **{f"convnet/extra/{suffix}": b"x"})(kit),
                suffix,
            ),
            "E-ZIP",
            suffix=f".{suffix}",
        )
        for suffix in ("torchscript", "pt2")
    ),
    *(
        program(
            f"a {suffix} of another workspace",
            bind(lambda kit, suffix: kit.export("linear-model", suffix), suffix),
            "E-TRUST",
        )
        for suffix in ("torchscript", "pt2")
    ),
    program("a signed archive that writes a file when it is loaded", writing, "E-TRUST"),
    *(
        program(f"a {suffix} cut at {n} tenths", cut(suffix, n), "E-ZIP", suffix=f".{suffix}")
        for suffix in ("torchscript", "pt2")
        for n in range(1, 10)
    ),
    *(
        program(f"a {suffix} with a flipped bit", flipped(suffix), "E-ZIP", suffix=f".{suffix}")
        for suffix in ("torchscript", "pt2")
    ),
    *(
        program(f"a {suffix} with its tensors packed", packed(suffix), "E-ZIP", suffix=f".{suffix}")
        for suffix in ("torchscript",)
    ),
    *(
        program(
            f"a {suffix} without a manifest",
            without_manifest(suffix),
            "E-MANIFEST-MISSING",
            suffix=f".{suffix}",
        )
        for suffix in ("torchscript", "pt2")
    ),
    program("another zip", lambda kit: zipped({"a/readme.txt": b"x"}), "E-ARTIFACT-FORMAT"),
    program("an empty zip", lambda kit: zipped({}), "E-ZIP"),
    program("300 MB of tensors in 300 kB", lambda kit: BOMB, "E-ZIP"),
    program("300 MB of code in 300 kB", lambda kit: CODE_BOMB, "E-ZIP"),
    program("a member outside the folder", lambda kit: zipped(ELSEWHERE), "E-ZIP"),
    program(
        "an absolute member",
        lambda kit: zipped({"/etc/constants.pkl": b"", "/etc/code/x": b""}),
        "E-ZIP",
    ),
    program("members in two folders", lambda kit: zipped({"a/data.pkl": b"", "b/x": b""}), "E-ZIP"),
    program(
        "a .pt2 with a member outside its folder",
        lambda kit: zipped({**PT2, "a/../../x": b"x"}),
        "E-ZIP",
        suffix=".pt2",
    ),
    program(
        "a .pt2 with an absolute member",
        lambda kit: zipped({**PT2, "/etc/x": b"x"}),
        "E-ZIP",
        suffix=".pt2",
    ),
    program(
        "a .pt2 with 300 MB of weights in 300 kB",
        lambda kit: zipped({**PT2, "a/data/weights/0": bytes(300_000_000)}, zipfile.ZIP_DEFLATED),
        "E-ZIP",
        suffix=".pt2",
    ),
    program(
        "a .pt2 with a program in its weights",
        lambda kit: zipped({**PT2, "a/data/weights/weight_0": pickle.dumps(Evil(kit.marker))}),
        "E-MANIFEST-MISSING",
        suffix=".pt2",
    ),
    program("150,000 members", lambda kit: many(150_000), "E-ZIP"),
    program("an encrypted member", lambda kit: encrypted(), "E-ZIP"),
    program("a member that claims 4 GB", lambda kit: claiming(), "E-ZIP"),
    program("zeros behind the first bytes of a zip", lambda kit: b"PK\3\4" + bytes(999), "E-ZIP"),
]


def many(count: int) -> bytes:
    """So many empty members, in a zip's own bytes: `zipfile` would take seconds."""
    names = [b"a/%06d" % index for index in range(count)]
    entries = b"".join(
        b"PK\1\2"
        + struct.pack("<6H3L5H2L", 20, 20, 0, 0, 0, 33, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0)
        + name
        for name in names
    )
    end64 = b"PK\6\6" + struct.pack("<QHHLLQQQQ", 44, 45, 45, 0, 0, count, count, len(entries), 0)
    locator = b"PK\6\7" + struct.pack("<LQL", 0, len(entries), 1)
    end = b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 65535, 65535, len(entries), 2**32 - 1, 0)
    return entries + end64 + locator + end


def encrypted() -> bytes:
    data = bytearray(zipped({"a/data.pkl": b"x"}))
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + offset] |= 1
    return bytes(data)


def claiming() -> bytes:
    data = bytearray(zipped({"a/data.pkl": b"x"}))
    at = data.index(b"PK\1\2")
    data[at + 20 : at + 28] = struct.pack("<LL", 2**32 - 2, 2**32 - 2)
    return bytes(data)


# These open PyTorch, two seconds each.
CHECKPOINTS = [
    checkpoint("the checkpoint as it was trained", lambda kit: kit.model("pt")),
    checkpoint(
        "code in a signed checkpoint",
        carded(lambda kit: {"weights": Evil(kit.marker)}),
        "E-TORCH-LOAD",
    ),
    checkpoint(
        "a tensor of another shape",
        carded(lambda kit: whole(kit, classifier__3__bias=bias(11))),
        "E-TORCH-LOAD",
    ),
    checkpoint(
        "a weight that is missing",
        carded(lambda kit: {**whole(kit), "weights": {}}),
        "E-TORCH-LOAD",
    ),
    checkpoint(
        "a NaN among the weights",
        carded(lambda kit: whole(kit, more=bias(1, fill=np.nan))),
        "E-TORCH-LOAD",
    ),
    *(
        checkpoint(f"{what} among the weights", carded(with_more(make)), "E-TORCH-LOAD")
        for what, make in (
            ("256 GiB that stand nowhere", lambda: bias(1).expand(2**36)),
            ("a text", lambda: "weight"),
            ("complex numbers", lambda: bias(1, dtype="complex64")),
            ("a sparse tensor", lambda: bias(2, 2).to_sparse()),
            ("an infinity", lambda: bias(1, fill=np.inf)),
        )
    ),
    checkpoint(
        "a weight with a number for its name",
        carded(lambda kit: {**whole(kit), "weights": {**weights(kit), 7: bias(1)}}),
        "E-TORCH-LOAD",
    ),
    checkpoint(
        "weights that are a list",
        carded(lambda kit: {**whole(kit), "weights": [1]}),
        "E-TORCH-LOAD",
    ),
    checkpoint(
        "a checkpoint without its last byte",
        lambda kit: kit.model("pt").read_bytes()[:-1],
        "E-HASH",
    ),
    checkpoint("an ONNX file for eager", lambda kit: kit.model(), "E-USAGE", status=2),
    checkpoint("a .pt2 for eager", lambda kit: kit.model("pt2"), "E-USAGE", status=2),
    state("code in a bare state dict", saved(lambda kit: {"w": Evil(kit.marker)}), "E-TORCH-LOAD"),
    state("a whole pickled module", saved(lambda kit: module()), "E-TORCH-LOAD"),
    state("a key too many", saved(lambda kit: weights(kit, more=bias(1))), "E-TORCH-LOAD"),
    state(
        "a key that is missing",
        saved(lambda kit: dict(list(weights(kit).items())[1:])),
        "E-TORCH-LOAD",
    ),
    state(
        "integers for weights",
        saved(lambda kit: weights(kit, more=bias(1, dtype="int64"))),
        "E-TORCH-LOAD",
    ),
    state("a list", saved(lambda kit: [bias(1)]), "E-TORCH-LOAD"),
    state(
        "constants as TorchScript has them",
        lambda kit: zip_archive.embed_manifest(
            zipped({"a/data.pkl": b"x", "a/constants.pkl": b"x"}), "{}"
        ),
        "E-MANIFEST",
    ),
]

UNREAD = [
    *(unread(f"a checkpoint cut at {n} tenths", cut("pt", n), "E-ZIP") for n in range(1, 10)),
    *(
        unread(
            f"the first {n} bytes of a checkpoint",
            bind(lambda kit, n: kit.model("pt").read_bytes()[:n], n),
            "E-ZIP",
        )
        for n in (2, 10, 100)
    ),
    unread("a checkpoint with a flipped bit", flipped("pt"), "E-ZIP"),
    unread("a checkpoint with its tensors packed", packed("pt"), "E-ZIP"),
    unread("zero bytes", lambda kit: b"", "E-ARTIFACT-FORMAT"),
    unread(
        "a bare pickle that runs code",
        lambda kit: pickle.dumps(Evil(kit.marker), 2),
        "E-ARTIFACT-FORMAT",
    ),
    unread(
        "a pickle of protocol 0", lambda kit: pickle.dumps(Evil(kit.marker), 0), "E-ARTIFACT-FORMAT"
    ),
    unread("a gzip", lambda kit: b"\x1f\x8b" + bytes(60), "E-ARTIFACT-FORMAT"),
    unread("a program that is inspected", writing, answer="*"),
]


def module() -> Any:
    import torch

    return torch.nn.Linear(1, 1)


CASES: list[Case] = [*PROGRAMS, *CHECKPOINTS, *UNREAD]
