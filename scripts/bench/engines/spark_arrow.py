"""ptx's function in Spark: `spark_arrow.py TABLES MODEL OUTPUT WORKERS`, so many local threads."""

import sys

from pyspark.sql import SparkSession

from ptx.scale.spark import PREDICTION_SCHEMA, make_udf

tables, model, output, workers = sys.argv[1:]
session = SparkSession.builder.master(f"local[{workers}]").getOrCreate()
frame = session.read.parquet(tables).select("bytes").repartition(int(workers))
answered = frame.mapInArrow(
    make_udf(model, backend="ort-cpu"), f"bytes binary, {PREDICTION_SCHEMA}"
)
answered.drop("bytes").write.parquet(output)
session.stop()
