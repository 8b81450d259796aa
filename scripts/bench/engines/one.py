"""One process, no engine: `one.py TABLES MODEL OUTPUT THREADS`."""

import sys
from pathlib import Path

import pyarrow.parquet as pq

from ptx import infer, scale

tables, model, output, threads = sys.argv[1:]
Path(output).mkdir()
with infer.load(model, backend="ort-cpu", threads=int(threads)) as predictor:
    for table in sorted(Path(tables).iterdir()):
        with pq.ParquetWriter(Path(output) / table.name, scale.prediction_schema()) as writer:
            for records in pq.ParquetFile(table).iter_batches(10_000, columns=["bytes"]):
                answered = scale.batch(records, predictor)
                writer.write_batch(answered.select(scale.prediction_schema().names))
