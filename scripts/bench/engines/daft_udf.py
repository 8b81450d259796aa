"""ptx's class in Daft: `daft_udf.py TABLES MODEL OUTPUT WORKERS`; Daft counts the threads itself."""

import sys

import daft

from ptx.scale.daft import answerer

tables, model, output, _ = sys.argv[1:]
frame = daft.read_parquet(f"{tables}/*.parquet")
answer = answerer(model, backend="ort-cpu")
frame.select(answer(daft.col("bytes")).alias("answer")).write_parquet(output)
