"""A folder has one writer at a time, and a writer that is gone does not keep it."""

from __future__ import annotations

import errno
import fcntl
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ptx.infer.errors import OutputError
from ptx.trainers.folder_lock import lock_folder

HOLDER = """
import sys, time
from pathlib import Path
from ptx.trainers.folder_lock import lock_folder
with lock_folder(Path(sys.argv[1]), "training"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_folder_that_is_held_is_busy_and_free_again_afterwards(tmp_path: Path) -> None:
    with lock_folder(tmp_path, "training"):
        with (
            pytest.raises(OutputError, match=r"is busy: another process is training") as caught,
            lock_folder(tmp_path, "training"),
        ):
            pass
        assert (caught.value.code, caught.value.exit_code) == ("E-BUSY", 5)
    with lock_folder(tmp_path, "training"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_process_ends_with_it_even_when_it_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(OutputError, match="is busy"), lock_folder(tmp_path, "training"):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
        with lock_folder(tmp_path, "training"):
            pass


def test_where_there_are_no_locks_the_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*arguments: Any) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    done = []
    with lock_folder(tmp_path / "missing", "training"):
        done.append("a folder that cannot be opened")
    monkeypatch.setattr(fcntl, "flock", unsupported)
    with lock_folder(tmp_path, "training"):
        done.append("a file system without locks")
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with lock_folder(tmp_path, "training"):
        done.append("a system without locks")
    assert len(done) == 3
