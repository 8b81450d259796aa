"""ptx's function in Spark: `spark_arrow.py TABLES MODEL OUTPUT WORKERS`, so many local threads."""

import sys

from pyspark.sql import SparkSession

from ptx.scale.spark import ANSWERS, answerer

tables, model, output, workers = sys.argv[1:]
session = SparkSession.builder.master(f"local[{workers}]").getOrCreate()
frame = session.read.parquet(tables).select("bytes").repartition(int(workers))
answered = frame.mapInArrow(answerer(model, backend="ort-cpu"), f"bytes binary, {ANSWERS}")
answered.drop("bytes").write.parquet(output)
session.stop()
