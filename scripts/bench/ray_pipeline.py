"""ptx's class in a pipeline of Ray Data: `ray_class.py TABLES MODEL OUTPUT WORKERS`."""

import sys

import ray

from ptx.scale.ray import Workers, predict

tables, model, output, workers = sys.argv[1:]
ray.init("local", num_cpus=int(workers) + 1, include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
pictures = ray.data.read_parquet(tables, columns=["bytes"])
answered = predict(pictures, model, backend="ort-cpu", workers=Workers(concurrency=int(workers)))
answered.drop_columns(["bytes"]).write_parquet(output)
