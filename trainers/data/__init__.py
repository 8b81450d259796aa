"""The data sets that models are trained on, by name or from files of one's own.

>>> from pathlib import Path
>>> data = open_dataset("bundled", default="mnist", cache=Path("runs"))
>>> data.train.inputs["image"].shape, data.train.targets.shape, data.labels[:3]
((10000, 28, 28), (10000,), ('0', '1', '2'))
"""

from __future__ import annotations

import os
import pkgutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ptx.infer.errors import InputError, UsageError, nearest, quote
from ptx.trainers.data.dataset import Dataset, Split

if TYPE_CHECKING:
    from ptx.trainers.data.folder import ReadPixels

__all__ = ["SOURCES", "Dataset", "Source", "Split", "open_dataset"]


@dataclass(frozen=True)
class Source:
    """A named data set: what it holds and what opens it."""

    kind: str  # of its inputs: image, columns, text, sequence
    opener: str  # "module:function", imported when the data set is asked for
    bundled: str  # the named source that stands for it in the package
    download: bool = False  # the opener takes `cache`, the folder for what it fetches


SOURCES: dict[str, Source] = {
    "mnist": Source(
        "image", "ptx.trainers.data.mnist:open_mnist", bundled="bundled-mnist", download=True
    ),
    "mnist-held-out": Source(
        "image",
        "ptx.trainers.data.mnist:open_mnist_held_out",
        bundled="bundled-mnist",
        download=True,
    ),
    "fashion-mnist": Source(
        "image", "ptx.trainers.data.mnist:open_fashion", bundled="bundled-mnist", download=True
    ),
    "bundled-mnist": Source(
        "image", "ptx.trainers.data.bundled:open_mnist", bundled="bundled-mnist"
    ),
    "names": Source("text", "ptx.trainers.data.names:open_names", bundled="names"),
    "diabetes": Source("columns", "ptx.trainers.data.tables:open_diabetes", bundled="diabetes"),
    "line": Source("columns", "ptx.trainers.data.tutorials:open_line", bundled="line"),
    "three-points": Source(
        "columns", "ptx.trainers.data.tutorials:open_three_points", bundled="three-points"
    ),
    "hours": Source("columns", "ptx.trainers.data.tutorials:open_hours", bundled="hours"),
    "hello": Source("sequence", "ptx.trainers.data.tutorials:open_hello", bundled="hello"),
}
"""The data sets by the name that `open_dataset` and `--data` take."""

NOUNS = {"image": "pictures", "columns": "numbers", "text": "texts", "sequence": "sequences"}
WANTED = {
    "image": "a folder of class folders or a CSV file of file,label rows",
    "columns": "a CSV file of numbers whose last column is the target",
    "text": "a CSV file of text,label rows",
    "sequence": "a named data set",
}


def open_dataset(
    source: str,
    *,
    default: str,
    cache: Path,
    fit: str = "digit",
    size: tuple[int, int] = (28, 28),
    labels: tuple[str, ...] | None = None,
    read: ReadPixels | None = None,
) -> Dataset:
    """The data set that `source` names, for a model whose own data set is `default`.

    `source` is `bundled` (the model's own data in the form that ptx carries), a name in `SOURCES`,
    or a path: a folder of class folders, a CSV file of `file,label` rows with its pictures, of
    `text,label` rows, or of numbers whose last column is the target. A name wins over a path of the
    same name; write `./mnist` for the path.

    `fit` (a key of `FITS`) and `size` (height, width) are the form of pictures from files, or `read`
    makes the pixels of a decoded picture, in which case no named data set will do. `labels`
    are the only labels that rows from files may have, in the order of the indices; without them
    the labels are those of the files, sorted.

    Raises:
        UsageError: no such source, or one that does not fit the model.
        InputError: the data cannot be used or cannot be fetched.
    """
    own = SOURCES[default]
    if read is not None:
        from ptx.trainers.data.folder import open_file_list, open_folder

        path = _require_path(source, own)
        form: dict[str, Any] = {"fit": fit, "size": size, "labels": labels, "read": read}
        return (open_folder if path.is_dir() else open_file_list)(path, **form)
    name = own.bundled if source == "bundled" else source
    if name in SOURCES:
        dataset = _open_named(name, own, default, cache)
    else:
        path = _require_path(source, own)
        dataset = _open_path(path, own, default, fit=fit, size=size, labels=labels)
    return dataset


def _open_named(name: str, own: Source, default: str, cache: Path) -> Dataset:
    if SOURCES[name].kind != own.kind:
        raise _form_error(name, NOUNS[SOURCES[name].kind], own)
    dataset = _open_own(name, cache)
    if own.kind == "columns" and name != default:
        expected = _open_own(default, cache)
        got, wanted = _form(dataset), _form(expected)
        if got != wanted:
            raise UsageError(
                f"--data {name} has {got}; the model takes {wanted}: "
                f"use --data {default}, or {WANTED['columns']}"
            )
    return dataset


def _open_path(path: Path, own: Source, default: str, *, labels: Any, **form: Any) -> Dataset:
    if own.kind == "image":
        from ptx.trainers.data.folder import open_file_list, open_folder

        return (open_folder if path.is_dir() else open_file_list)(path, labels=labels, **form)
    if path.is_dir() or own.kind == "sequence":
        raise _form_error(str(path), "files" if path.is_dir() else "a table", own)
    if own.kind == "text":
        from ptx.trainers.data.names import open_text_csv

        return open_text_csv(path, labels=labels)
    from ptx.trainers.data.tables import open_table

    expected = _open_own(default, path.parent)
    features = expected.train.inputs["columns"].shape[1]
    return open_table(path, labels=labels or expected.labels, features=features)


def _open_own(name: str, cache: Path) -> Dataset:
    opener = pkgutil.resolve_name(SOURCES[name].opener)
    dataset: Dataset = opener(cache=cache) if SOURCES[name].download else opener()
    return dataset


def _require_path(source: str, own: Source) -> Path:
    path = Path(source)
    if path.is_dir() or (path.exists() and path.suffix.lower() == ".csv"):
        return path
    if path.exists():
        raise InputError(
            f"--data {quote(source)} is neither a folder nor a .csv file; expected "
            f"{WANTED[own.kind]}",
            code="E-DATA",
        )
    if os.sep in source or path.suffix:
        raise InputError(f"--data {quote(source)}: no such folder or file", code="E-IN-MISSING")
    names = ["bundled", *(name for name, known in SOURCES.items() if known.kind == own.kind)]
    raise UsageError(f"--data {quote(source)} is unknown: {nearest(source, names)}, or a path")


def _form(dataset: Dataset) -> str:
    features = dataset.train.inputs["columns"].shape[1]
    target = "classes" if dataset.labels else "numbers"
    return f"{features} column{'s' if features > 1 else ''} and {target} as targets"


def _form_error(source: str, got: str, own: Source) -> UsageError:
    names = ", ".join(name for name, known in SOURCES.items() if known.kind == own.kind)
    return UsageError(
        f"--data {quote(source)} holds {got}; the model takes {NOUNS[own.kind]}: "
        f"use bundled, {names}, or {WANTED[own.kind]}"
    )
