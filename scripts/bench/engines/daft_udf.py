"""ptx's class in Daft: `daft_udf.py TABLES MODEL OUTPUT WORKERS`; Daft counts the threads itself."""

import sys

import daft

from ptx.scale.daft import make_udf

tables, model, output, _ = sys.argv[1:]
frame = daft.read_parquet(f"{tables}/*.parquet")
answer = make_udf(model, backend="ort-cpu")
frame.select(answer(daft.col("bytes")).alias("answer")).write_parquet(output)
