"""Reading takes whole regular files alone; writing leaves the old content or the new, never a mix."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptx.infer.artifact.files import atomic_writer, check_writable, read_bytes, write_atomic
from ptx.infer.errors import ArtifactError, InputError, OutputError

Child = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = pytest.mark.skipif(os.name != "posix", reason="FIFOs, links and signals of POSIX")
needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads files of /proc")


def leftovers(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if ".ptx-tmp" in entry.name)


def test_a_file_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\0\r\n\x1a" * 1000)
    assert read_bytes(tmp_path / "a", limit=4000) == b"\0\r\n\x1a" * 1000
    assert read_bytes(os.fsencode(tmp_path / "a"), limit=4000) == b"\0\r\n\x1a" * 1000


@pytest.mark.parametrize(
    "name",
    [
        b"\xff\xfe.onnx",
        "数字.onnx".encode(),
        b"-rf",
        b"a\nb\x1b[31m.png",
        b"x" * 255,
        "数".encode() * 85,
    ],
    ids=["not UTF-8", "CJK", "dash", "control characters", "255 bytes", "255 bytes of CJK"],
)
def test_any_name_can_be_written_and_read(tmp_path: Path, name: bytes) -> None:
    path = os.path.join(os.fsencode(tmp_path), name)  # noqa: PTH118 - a Path has no bytes
    for form in (path, os.fsdecode(path), Path(os.fsdecode(path))):
        check_writable(form)
        write_atomic(form, b"content")
        assert read_bytes(form, limit=7) == b"content"
    assert os.listdir(os.fsencode(tmp_path)) == [name]  # noqa: PTH208 - a Path has no bytes


def loop(folder: Path) -> Path:
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    return folder / "a"


def dangling(folder: Path) -> Path:
    (folder / "link").symlink_to("nowhere")
    return folder / "link"


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def large(folder: Path) -> Path:
    with (folder / "large").open("wb") as file:
        file.truncate(1001)
    return folder / "large"


@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (lambda folder: folder / "x\ny.png", "E-IN-MISSING", r"x\ny.png': no such file"),
        (lambda folder: folder / "no" / "x", "E-IN-MISSING", "no such file"),
        (dangling, "E-IN-MISSING", "no such file"),
        (lambda folder: folder, "E-IN-NOTFILE", "is a folder; expected a file"),
        (fifo, "E-IN-NOTFILE", "is not a regular file; expected a file"),
        (lambda folder: Path("/dev/zero"), "E-IN-NOTFILE", "is not a regular file"),
        (lambda folder: Path("/dev/null"), "E-IN-NOTFILE", "is not a regular file"),
        (loop, "E-IN-LOOP", "symbolic links form a loop"),
        (lambda folder: folder / ("x" * 256), "E-IN-MISSING", "the name is too long"),
        (lambda folder: f"{folder}/a\0b", "E-IN-MISSING", "not a file name"),
        (lambda folder: f"{folder}/\ud800", "E-IN-MISSING", "not a file name"),
        (large, "E-IN-SIZE", "has 1,001 bytes; at most 1,000 are read"),
    ],
)
def test_what_is_no_readable_file_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], Any], code: str, message: str
) -> None:
    path = make(tmp_path)
    start = time.perf_counter()
    for error in (InputError, ArtifactError):
        with pytest.raises(error, match=re.escape(message)) as caught:
            read_bytes(path, limit=1000, error=error)
        assert caught.value.code == code
        assert caught.value.exit_code == 4
        assert "\n" not in str(caught.value)
    assert time.perf_counter() - start < 5


@needs_proc
def test_a_file_that_changes_its_size_is_refused() -> None:
    # Files of /proc claim 0 bytes and have more.
    with pytest.raises(InputError, match="changed while it was read"):
        read_bytes("/proc/self/stat", limit=1000)


def test_a_file_that_comes_in_pieces_is_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call of the system gives at most 2 GiB, and less from some file systems."""
    (tmp_path / "a").write_bytes(bytes(range(256)) * 4)
    whole = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: whole(descriptor, min(size, 100)))
    assert read_bytes(tmp_path / "a", limit=1024) == bytes(range(256)) * 4


@needs_proc
def test_a_file_that_cannot_be_read_is_refused() -> None:
    # At its beginning a process has no memory.
    with pytest.raises(InputError, match="'/proc/self/mem': Input/output error") as caught:
        read_bytes("/proc/self/mem", limit=1000)
    assert caught.value.code == "E-IN-READ"


def test_the_limit_takes_no_memory(child: Child, tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"small")
    child(
        """
import resource, sys
from ptx.infer.artifact.files import read_bytes
resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))
assert read_bytes(sys.argv[1], limit=2**33) == b"small"
""",
        tmp_path / "small",
    )


def test_a_file_without_permission_is_refused(child: Child, open_folder: Path) -> None:
    (open_folder / "secret").write_bytes(b"x")
    (open_folder / "secret").chmod(0)
    (open_folder / "public").write_bytes(b"x")
    (open_folder / "public").chmod(0o644)
    done = child(
        """
import sys
from ptx.infer.errors import InputError
from ptx.infer.artifact.files import read_bytes
drop_rights()
assert read_bytes(sys.argv[1] + "/public", limit=1) == b"x"
try:
    read_bytes(sys.argv[1] + "/secret", limit=1)
except InputError as error:
    print(error.code, error)
""",
        open_folder,
    )
    assert done.stdout == f"E-IN-PERM '{open_folder}/secret': no permission to read it\n"


def test_the_mode_of_a_written_file_is_the_umask_s(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_atomic(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/target")
    write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "target").read_bytes() == b"new"
    assert os.listdir(tmp_path / "folder") == ["target"]  # noqa: PTH208


def test_temporary_files_of_the_dead_are_swept_and_no_others(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    kept = {
        f".a.{os.getpid()}-00000000.ptx-tmp",
        ".b.1-00000000.ptx-tmp",
        ".a.x-0.ptx-tmp",
        ".a.\u00b2-00000000.ptx-tmp",
        f".a.{2**70}-00000000.ptx-tmp",
        f"a.{dead.pid}-00000000.ptx-tmp",
    }
    for name in (*kept, *(f".{other}.{dead.pid}-00000000.ptx-tmp" for other in "ab")):
        (tmp_path / name).touch()
    write_atomic(tmp_path / "a", b"new")
    assert set(leftovers(tmp_path)) == kept


@pytest.mark.parametrize("check", [check_writable, lambda path: write_atomic(path, b"x")])
@pytest.mark.parametrize(
    ("make", "code", "message"),
    [
        (lambda folder: folder, "E-OUT-FOLDER", "is a folder; expected a file name"),
        (lambda folder: folder / "no" / "a", "E-OUT-PARENT", "does not exist"),
        (fifo, "E-OUT-FILE", "is not a regular file"),
        (lambda folder: folder / ("x" * 256), "E-OUT", "File name too long"),
        (lambda folder: f"{folder}/a\0b", "E-OUT", "not a file name"),
    ],
)
def test_a_target_that_cannot_be_written_is_refused(
    tmp_path: Path,
    check: Callable[[Any], None],
    make: Callable[[Path], Any],
    code: str,
    message: str,
) -> None:
    path = make(tmp_path)
    with pytest.raises(OutputError, match=message) as caught:
        check(path)
    assert caught.value.code == code
    assert caught.value.exit_code == 5
    assert isinstance(caught.value, OSError)
    assert leftovers(tmp_path) == []


def test_a_folder_without_permission_is_refused(child: Child, open_folder: Path) -> None:
    (open_folder / "locked").mkdir(mode=0o700)
    (open_folder / "target").write_bytes(b"old")
    done = (
        child(
            """
import sys
from ptx.infer.errors import OutputError
from ptx.infer.artifact.files import check_writable, write_atomic
drop_rights()
for name in ("target", "locked/a"):
    for write in (check_writable, lambda path: write_atomic(path, b"new")):
        try:
            write(sys.argv[1] + "/" + name)
        except OutputError as error:
            print(error.code)
""",
            open_folder,
        )
        if os.geteuid() == 0
        else pytest.skip("needs root to become somebody else")
    )
    assert done.stdout.split() == ["E-OUT-PERM"] * 4
    assert (open_folder / "target").read_bytes() == b"old"


def test_until_the_last_piece_the_old_content_stands_there(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    with atomic_writer(tmp_path / "target") as write:
        for _ in range(3):
            write(bytes(300_000))  # more than is collected
            assert (tmp_path / "target").read_bytes() == b"old"
    assert (tmp_path / "target").read_bytes() == bytes(900_000)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_what_stops_the_writing_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    (tmp_path / "target").write_bytes(b"old")

    def stopped() -> None:
        with atomic_writer(tmp_path / "target") as write:
            write(bytes(300_000))
            raise error

    with pytest.raises(error):
        stopped()
    assert (tmp_path / "target").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["target"]  # noqa: PTH208


def test_the_content_is_flushed_before_the_rename_and_the_folder_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    flushed = []

    def fsync(descriptor: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        flushed.append(("folder" if is_folder else "file", target.read_bytes()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomic(target, b"new")
    assert flushed == [("file", b"old"), ("folder", b"new")]


def test_checking_writes_nothing(tmp_path: Path) -> None:
    check_writable(tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("room", [0, 1024, 50_000, 99_999])
def test_on_a_full_disk_the_old_file_stays(child: Child, tmp_path: Path, room: int) -> None:
    (tmp_path / "target").write_bytes(b"old")
    done = child(
        """
import resource, sys
from ptx.infer.errors import OutputError
from ptx.infer.artifact.files import write_atomic
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    write_atomic(sys.argv[1], bytes(100_000))
except OutputError as error:
    print(error.code, error.exit_code)
""",
        tmp_path / "target",
        room,
    )
    assert done.stdout == "E-OUT-SPACE 5\n"
    assert (tmp_path / "target").read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["target"]


WRITER = """
import sys
from ptx.infer.artifact.files import write_atomic
print("ready", flush=True)
number = 0
while True:
    number += 1
    write_atomic(sys.argv[1], bytes([number % 256]) * 3_000_000)
"""


def test_a_kill_while_writing_leaves_a_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(bytes(3_000_000))
    for round_ in range(15):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            assert writer.stdout.readline() == b"ready\n"
            time.sleep(0.003 * round_)
            writer.send_signal(signal.SIGKILL)
        content = target.read_bytes()
        assert len(content) == 3_000_000
        assert content == content[:1] * 3_000_000
        assert len(leftovers(tmp_path)) <= 1
    write_atomic(target, b"new")
    assert leftovers(tmp_path) == []
