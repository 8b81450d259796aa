"""Verbs whose results find no room."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from files import temporaries
from place import SUFFIXES, Place
from tally import Row
from verb import run, start

SPACE = 5  # exit code of a verb that cannot write its result


def fill_disks(place: Place) -> Row:
    """Each verb under limits of the file size, and on a small disk where one can be mounted."""
    row = Row("full disk")
    checkpoint, other = place.checkpoints
    verbs: dict[Path, Callable[[], list[str]]] = {
        place.answers: place.predict,
        **{place.model / f"convnet{suffix}": partial(place.export, form, checkpoint)
           for form, suffix in SUFFIXES.items()},
        place.model / "checkpoint.pt": place.train,
    }  # fmt: skip
    shutil.copy(other, place.model)
    for form in SUFFIXES:
        run(place.export(form, other))
    run(place.predict())
    for target, arguments in verbs.items():
        before = target.read_bytes()
        for limit in (0, 1000, len(before) // 2, len(before) * 9 // 10):
            verb = start(arguments(), file_limit=limit)
            code, errors = verb.wait()
            check_full(row, target, before, code, errors)
    with small_disk(place.root / "disk", 700) as disk:
        if disk:
            row.counts["on a small disk"] += 1
            fill_small_disk(row, place, disk)
    return row


def fill_small_disk(row: Row, place: Place, disk: Path) -> None:
    """A checkpoint of 600 kB is there, and there is no room for the next one beside it."""
    run(place.train("--epochs", "1", workspace=disk))
    target = disk / "convnet" / "checkpoint.pt"
    before = target.read_bytes()
    free = os.statvfs(disk)
    (disk / "other").write_bytes(bytes(free.f_bavail * free.f_bsize - len(before) // 2))
    code, errors = start(place.train("--seed", "2", workspace=disk)).wait()
    check_full(row, target, before, code, errors)


def check_full(row: Row, target: Path, before: bytes, code: int, errors: str) -> None:
    row.counts["full"] += 1
    row.expect(code == SPACE, f"{target.name}: exit code {code}: {errors[-300:]}")
    row.expect("[E-OUT-SPACE]" in errors, errors[-300:])
    row.expect(target.read_bytes() == before, f"{target.name} is no longer what it was")
    row.expect(not temporaries(target.parent), f"left behind beside {target.name}")


@contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path | None]:
    """A disk of that size mounted there; None for users who may not."""
    folder.mkdir()
    size = f"size={kilobytes}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "ptx", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        yield None
        return
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=False)  # noqa: S607
