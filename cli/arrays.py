"""INPUT arguments that are files of arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ptx.cli.inputs import TABLE_LIMIT
from ptx.infer.artifact.files import read_bytes
from ptx.infer.errors import InputError, UsageError, quote


def read_arrays(arguments: tuple[str, ...], names: list[str]) -> dict[str, Any]:
    """Read the arrays, by the name of their input.

    Raises:
        InputError: a file cannot be read, or is not an array.
        UsageError: an input is given twice, or a .npy file does not say which input it is.
    """
    from ptx.infer.tables.npy import read_npy
    from ptx.infer.tables.npz import read_npz

    arrays: dict[str, Any] = {}
    for argument in arguments:
        name, equals, path = argument.partition("=")
        if not equals:
            name, path = "", argument
        loaded: Mapping[str, Any]
        if path.lower().endswith(".npz") and not name:
            loaded = read_npz(read_bytes(path, limit=TABLE_LIMIT), name=path)
        elif not path.lower().endswith(".npy"):
            raise InputError(
                f"cannot read {quote(path)}: expected a .npy or .npz file", code="E-IN-FORMAT"
            )
        elif not name and len(names) > 1:
            raise UsageError(
                f"{quote(path)}: the model has several inputs: write NAME={path}, where NAME is one of"
                f" {', '.join(names)}"
            )
        else:
            loaded = {name or names[0]: read_npy(read_bytes(path, limit=TABLE_LIMIT), name=path)}
        for title, array in loaded.items():
            if title in arrays:
                raise UsageError(f"the input {quote(title)} is given twice: remove one")
            arrays[title] = array
    return arrays
