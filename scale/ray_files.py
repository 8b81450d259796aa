"""Prediction of files into a folder of Parquet files on Ray: `ptx predict --on ray`.

Every format of input becomes a dataset with a column `input`, a unique name of the row. With `resume`
the rows whose name is already in the folder are skipped.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import ray.data
from pyarrow import fs

from ptx.infer.backends import Options
from ptx.infer.errors import (
    ArtifactError,
    InputError,
    LimitError,
    OutputError,
    PtxError,
    UsageError,
    quote,
)
from ptx.infer.prediction import NamedInput
from ptx.infer.predictor import TOP
from ptx.infer.preprocessing import Preprocessing, open_preprocessing
from ptx.infer.tables.numbers import read_cells, read_rows
from ptx.scale.ray import (
    MAX_ATTEMPTS,
    ModelRef,
    Workers,
    causes,
    map_on_workers,
    preflight_check,
    put_model,
    unwrap_ray_errors,
)
from ptx.scale.records import (
    BATCH,
    column_values,
    find_column,
    prediction_arrays,
    prediction_schema,
)
from ptx.scale.shards import name_hash

TABLES = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tar": "tar"}
VALUE, PROBLEM = "ptx_value", "ptx_problem"  # columns: the input, or why there is none
BLOCK_ROWS = 4096  # so that one large table is split over several workers
JOB = "_ptx.json"  # in the output folder; readers of Parquet ignore names that begin with `_`
_NO_SPACE = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)


@dataclass(frozen=True)
class PredictionJob:
    """The options of a prediction job.

    Attributes:
        column: Parquet: the column with the inputs, by default `bytes`. CSV: the column with paths or
            texts. Tar archives: the extension of the members that are inputs.
        options: How the backend is opened. By default with a thread for each processor of a worker.
    """

    backend: str = "auto"
    options: Options = field(default_factory=Options)
    column: str | None = None
    top: int = TOP
    batch_size: int = BATCH
    prefix: str = ""
    workers: Workers = field(default_factory=Workers)


def predict_files(
    inputs: Sequence[str],
    model: str | Path | ModelRef,
    output: str,
    job: PredictionJob | None = None,
    *,
    resume: bool = False,
) -> tuple[int, int]:
    """Predict image, Parquet, CSV and tar files into Parquet files in the folder `output`.

    Args:
        inputs: Files, folders and glob patterns, local or as URIs that pyarrow's file systems support.
        resume: Continue an interrupted run of the same job: only rows that are missing in the folder are
            predicted. Needs 8 bytes of memory per row on each worker.

    Returns:
        The numbers of rows with predictions and with errors in the folder.

    Raises:
        InputError: an input does not exist or cannot be read.
        ArtifactError: E-RESUME: the folder has predictions of another job, or `resume` is missing.
        BackendError: the backend is not available on the workers.
        OutputError: the folder cannot be written.
        LimitError: E-PEER: the same rows crashed their worker several times.
    """
    job = job or PredictionJob()
    ref = model if isinstance(model, ModelRef) else put_model(model)
    preprocessing = open_preprocessing(ref.manifest.preprocessing, ref.manifest.signature)
    files = _by_format(inputs, preprocessing)
    folder = OutputFolder.open(output, _job_settings(ref, job), resume=resume)
    preflight_check(ref, job.backend, job.options, job.workers)
    arguments = {"model": ref, "job": job, "completed": ray.put(folder.completed())}
    with _mapping_errors(output, folder):
        for file_format, (filesystem, paths, root) in files:
            dataset = READERS[file_format](paths, filesystem, root, preprocessing, job.column)
            predicted = map_on_workers(dataset, _PredictRows, arguments, job.workers)
            predicted.write_parquet(folder.path, filesystem=folder.filesystem)
    return folder.count(job.prefix)


class _PredictRows:
    """A worker that adds predictions to tables with a column `input` and drops completed rows."""

    def __init__(self, model: ModelRef, job: PredictionJob, completed: ray.ObjectRef[Any]) -> None:
        self._predictor = model.open(job.backend, job.options)
        self._job = job
        self._completed = ray.get(completed)

    def __call__(self, table: pa.Table) -> pa.Table:
        job, added = self._job, prediction_schema(self._job.prefix)
        if len(self._completed):
            hashes = np.array([name_hash(name) for name in table["input"].to_pylist()], np.uint64)
            table = table.filter(pa.array(~np.isin(hashes, self._completed)))
        if duplicates := [name for name in added.names if name in table.column_names]:
            raise UsageError(
                f"the table has a column {quote(duplicates[0])} already: give --prefix to rename the"
                " added columns"
            )
        values = self._values(table)
        predictions = self._predictor.predict_many(
            values, batch_size=job.batch_size, top=job.top, on_error="yield"
        )
        for name, column in zip(added.names, prediction_arrays(predictions), strict=True):
            table = table.append_column(name, column)
        return table.drop_columns([VALUE, *({PROBLEM} & set(table.column_names))])

    def _values(self, table: pa.Table) -> list[NamedInput]:
        values = column_values(table[VALUE].combine_chunks()) if len(table) else []
        if PROBLEM in table.column_names:
            problems = table[PROBLEM].to_pylist()
            values = [
                value if problem is None else InputError(problem)
                for value, problem in zip(values, problems, strict=True)
            ]
        if self._predictor.preprocessing.extensions:
            values = [_fetch(value) if isinstance(value, str) else value for value in values]
        return [NamedInput("", value) for value in values]


def _fetch(path: str) -> Any:
    """The content of a URI, or an InputError if it cannot be read; paths are returned unchanged."""
    if "://" not in path:
        return path
    try:
        filesystem, inner = fs.FileSystem.from_uri(path)
        with filesystem.open_input_stream(inner, compression=None) as stream:
            return stream.read()
    except (OSError, ValueError) as error:
        return InputError(f"{quote(path)} cannot be read: {_one_line(error)}", code="E-IN-READ")


def _read_files(
    paths: list[str], filesystem: Any, root: str, preprocessing: Preprocessing, column: str | None
) -> ray.data.Dataset:
    """One row for each file; `input` is its path."""
    content = ray.data.read_binary_files(paths, filesystem=filesystem, include_paths=True)

    def name_rows(table: pa.Table) -> pa.Table:
        names = [f"{root}{path}" for path in table["path"].to_pylist()]
        return pa.table({"input": pa.array(names, pa.string()), VALUE: table["bytes"]})

    return content.map_batches(name_rows, batch_format="pyarrow", zero_copy_batch=True)


def _read_parquet(
    paths: list[str], filesystem: Any, root: str, preprocessing: Preprocessing, column: str | None
) -> ray.data.Dataset:
    """The rows with their other columns; `input` is the file and Ray's hash of the row's position."""
    column = column or "bytes"
    rows = ray.data.read_parquet(
        paths, filesystem=filesystem, include_paths=True, include_row_hash=True
    )

    def name_rows(table: pa.Table) -> pa.Table:
        names = [
            f"{root}{path}#{key:016x}"
            for path, key in zip(
                table["path"].to_pylist(), table["row_hash"].to_pylist(), strict=True
            )
        ]
        (records,) = table.combine_chunks().to_batches()
        values = find_column(records, column)
        named = table.drop_columns(["path", "row_hash", column.split(".")[0]])
        named = named.add_column(0, "input", pa.array(names, pa.string()))
        return named.append_column(VALUE, values)

    return rows.map_batches(name_rows, batch_format="pyarrow", zero_copy_batch=True).repartition(
        target_num_rows_per_block=BLOCK_ROWS
    )


def _read_csv(
    paths: list[str], filesystem: Any, root: str, preprocessing: Preprocessing, column: str | None
) -> ray.data.Dataset:
    """The lines of CSV files: rows of numbers for a tabular model, else a column of paths or texts."""
    content = ray.data.read_binary_files(paths, filesystem=filesystem, include_paths=True)

    def split(row: dict[str, Any]) -> list[dict[str, Any]]:
        name = f"{root}{row['path']}"
        lines = (
            _number_rows(row["bytes"], name, preprocessing)
            if preprocessing.feature_names
            else _text_rows(row["bytes"], name, column)
        )
        return [
            {
                "input": f"{name}, line {line}",
                VALUE: None if isinstance(value, InputError) else value,
                PROBLEM: str(value) if isinstance(value, InputError) else None,
            }
            for line, value in lines
        ]

    return content.flat_map(split).repartition(target_num_rows_per_block=BLOCK_ROWS)


def _number_rows(
    data: bytes, name: str, preprocessing: Preprocessing
) -> Iterator[tuple[int, list[float] | InputError]]:
    for line, row in read_rows(data, name=name, columns=preprocessing.feature_names).rows:
        yield line, row if isinstance(row, InputError) else row.tolist()


def _text_rows(
    data: bytes, name: str, column: str | None
) -> Iterator[tuple[int, str | InputError]]:
    rows = iter(read_cells(data, name=name, expected="lines of paths or texts"))
    index = 0
    if column is not None:
        _, header = next(rows)
        if column not in header:
            raise UsageError(
                f"{quote(name)} has no column {quote(column)}: the first line is {','.join(header)}"
            )
        index = header.index(column)
    for line, cells in rows:
        missing = InputError(f"{quote(name)}, line {line} has no cell {index + 1}", code="E-CSV")
        yield line, cells[index] if index < len(cells) else missing


def _read_tar(
    paths: list[str], filesystem: Any, root: str, preprocessing: Preprocessing, column: str | None
) -> ray.data.Dataset:
    """Members of WebDataset archives with the extension `column`, by default those of inputs."""
    extensions = (
        [column.lstrip(".")]
        if column
        else [extension.lstrip(".") for extension in preprocessing.extensions or (".txt",)]
    )
    members = ray.data.read_webdataset(
        paths,
        filesystem=filesystem,
        include_paths=True,
        decoder=None,
        suffixes=[f"*.{extension}" for extension in extensions],
    )

    def split(row: dict[str, Any]) -> list[dict[str, Any]]:
        present = [extension for extension in extensions if row.get(extension) is not None]
        return [
            {
                "input": f"{root}{row['path']}/{row['__key__']}.{extension}",
                VALUE: row[extension]
                if preprocessing.extensions
                else row[extension].decode("utf-8", "replace").strip(),
            }
            for extension in present
        ]

    return members.flat_map(split)


READERS = {"files": _read_files, "parquet": _read_parquet, "csv": _read_csv, "tar": _read_tar}


@dataclass(frozen=True)
class OutputFolder:
    """The output folder of a job, with the settings that its predictions depend on."""

    filesystem: Any
    path: str

    @classmethod
    def open(cls, name: str, settings: dict[str, Any], *, resume: bool) -> OutputFolder:
        """Open the folder, and create it if it is missing.

        Raises:
            OutputError: it cannot be created or written.
            ArtifactError: E-RESUME: it already has predictions and `resume` is False, or they are of
                another job.
        """
        filesystem, path, _ = _find_filesystem(name)
        folder = cls(filesystem, path)
        try:
            filesystem.create_dir(path, recursive=True)
            previous = folder._read_settings()
            if previous is not None and (not resume or previous != settings):
                changed = [key for key in settings if previous.get(key) != settings[key]]
                reason = (
                    f"of another job: the {' and the '.join(changed)} differ; give another --output"
                    if changed
                    else "already: add --resume to continue, or give another --output"
                )
                raise ArtifactError(f"{quote(name)} has predictions {reason}", code="E-RESUME")
            if previous is None:
                with filesystem.open_output_stream(f"{path}/{JOB}") as stream:
                    stream.write(json.dumps(settings).encode())
        except OSError as error:
            raise _output_error(name, error) from error
        return folder

    def completed(self) -> Any:
        """uint64 (rows,): the sorted hashes of the names of completed inputs.

        Incomplete files of a killed process are deleted.
        """
        hashes: list[int] = []
        for path in self._files():
            try:
                with self.filesystem.open_input_file(path) as file:
                    names = pa.parquet.read_table(file, columns=["input"])["input"].to_pylist()
            except pa.ArrowInvalid:
                self.filesystem.delete_file(path)
                continue
            hashes += map(name_hash, names)
        return np.sort(np.array(hashes, np.uint64))

    def count(self, prefix: str) -> tuple[int, int]:
        """The numbers of rows with predictions and with errors."""
        files = self._files()
        if not files:
            return 0, 0
        rows = pa.dataset.dataset(files, filesystem=self.filesystem, format="parquet")
        succeeded = rows.count_rows(filter=pa.dataset.field(f"{prefix}error").is_null())
        return succeeded, rows.count_rows() - succeeded

    def _files(self) -> list[str]:
        infos = self.filesystem.get_file_info(fs.FileSelector(self.path))
        return sorted(info.path for info in infos if info.base_name.endswith(".parquet"))

    def _read_settings(self) -> dict[str, Any] | None:
        info = self.filesystem.get_file_info(f"{self.path}/{JOB}")
        if info.type == fs.FileType.NotFound:
            return None
        with self.filesystem.open_input_stream(info.path) as stream:
            content = stream.read()
        try:
            settings = json.loads(content)
        except ValueError:
            settings = None
        if not isinstance(settings, dict):
            raise ArtifactError(
                f"{quote(info.path)} is damaged, so the job of the predictions in the folder is unknown:"
                " give another --output",
                code="E-RESUME",
            )
        return settings


def _job_settings(model: ModelRef, job: PredictionJob) -> dict[str, Any]:
    """The settings that predictions depend on."""
    return {
        "model": model.sha256,
        "specification": repr(model.model_spec),
        "backend": job.backend,
        "precision": job.options.precision,
        "column": job.column,
        "top": job.top,
        "prefix": job.prefix,
    }


def _by_format(
    inputs: Sequence[str], preprocessing: Preprocessing
) -> list[tuple[str, tuple[Any, list[str], str]]]:
    """The files of all inputs: (a key of READERS, (file system, paths, prefix of their URIs)).

    Raises:
        InputError: an input does not exist, or has no file that this model accepts.
        UsageError: a file has a format that this model does not accept.
    """
    groups: dict[tuple[str, str], tuple[Any, dict[str, None]]] = {}
    for name in dict.fromkeys(inputs):
        filesystem, path, root = _find_filesystem(name)
        for file in _list(name, filesystem, path, preprocessing):
            file_format = _format(file)
            if file_format == "files" and not preprocessing.extensions:
                raise UsageError(
                    f"{quote(file)} is not a table; a model for {preprocessing.plural} accepts"
                    f" {', '.join(TABLES)}"
                )
            _, paths = groups.setdefault((file_format, root), (filesystem, {}))
            paths[file] = None
    return [
        (file_format, (filesystem, list(paths), root))
        for (file_format, root), (filesystem, paths) in groups.items()
    ]


def _format(path: str) -> str:
    formats = (TABLES[extension] for extension in TABLES if path.lower().endswith(extension))
    return next(formats, "files")


def _list(name: str, filesystem: Any, path: str, preprocessing: Preprocessing) -> list[str]:
    """The files of one input, sorted by name."""
    pattern = re.search(r"[*?[]", path)
    base = path[: pattern.start()].rpartition("/")[0] if pattern else path
    info = filesystem.get_file_info(base)
    if info.type == fs.FileType.NotFound:
        raise InputError(f"{quote(name)}: no such file", code="E-IN-MISSING")
    if info.type == fs.FileType.File:
        return [path]
    infos = filesystem.get_file_info(fs.FileSelector(base, recursive=True))
    files = sorted(info.path for info in infos if info.type == fs.FileType.File)
    if pattern:
        matches = re.compile(_translate(path)).fullmatch
        if not (files := [file for file in files if matches(file)]):
            raise InputError(f"{quote(name)} matches no file", code="E-IN-MISSING")
        return files
    endings = (*preprocessing.extensions, *TABLES)
    if not (files := [file for file in files if file.lower().endswith(endings)]):
        raise InputError(
            f"{quote(name)} has no {preprocessing.plural} and no table", code="E-IN-EMPTY"
        )
    return files


def _translate(pattern: str) -> str:
    """A glob as a regular expression: `*` matches within a folder, `**/` matches any folders."""
    parts = re.findall(r"\*\*/|\*|\?|\[[^]]+\]|.", pattern, re.DOTALL)
    wildcards = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    return "".join(
        wildcards.get(part, part.replace("[!", "[^") if len(part) > 1 else re.escape(part))
        for part in parts
    )


def _find_filesystem(name: str) -> tuple[Any, str, str]:
    """The file system, the path in it, and the prefix that makes a URI of such a path.

    Raises:
        UsageError: no file system of pyarrow supports the URI.
    """
    if "://" not in name:
        return fs.LocalFileSystem(), str(Path(name).absolute()), ""
    scheme = name.partition("://")[0]
    try:
        filesystem, path = fs.FileSystem.from_uri(name)
    except (pa.ArrowInvalid, ValueError, OSError) as error:
        raise UsageError(f"{quote(name)} cannot be opened: {_one_line(error)}") from error
    return filesystem, path.rstrip("/"), f"{scheme}://"


@contextmanager
def _mapping_errors(output: str, folder: OutputFolder) -> Iterator[None]:
    """Map errors of reading and writing on the workers to those of ptx."""
    context = ray.data.DataContext.get_current()
    context.raise_original_map_exception = True  # otherwise Ray drops the original exception
    try:
        with unwrap_ray_errors():
            yield
    except PtxError:
        raise
    except ray.exceptions.RayError as error:
        failure = next((each for each in causes(error) if isinstance(each, OSError)), None)
        if failure is not None and (failure.errno in _NO_SPACE or folder.path in str(failure)):
            raise _output_error(output, failure) from error
        if failure is not None:
            raise InputError(f"reading failed: {_one_line(failure)}", code="E-IN-READ") from error
        raise LimitError(
            f"the same rows crashed their worker {MAX_ATTEMPTS} times (an image that crashes the"
            f" decoder, too little memory): {_one_line(error)[-300:]}",
            code="E-PEER",
        ) from error


def _output_error(output: str, error: OSError) -> OutputError:
    code = "E-OUT-SPACE" if error.errno in _NO_SPACE else "E-OUT"
    return OutputError(f"{quote(output)} cannot be written: {_one_line(error)}", code=code)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
