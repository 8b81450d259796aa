"""Ray's documented way with a plain session: `ray_documented.py FOLDER MODEL OUTPUT WORKERS`.

As "Image Classification Batch Inference" of Ray's documentation does it: pictures are decoded by
`map`, a class with a session answers batches, on as many actors as there are workers.
"""

import io
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import ray
from PIL import Image

given, model, output, workers = sys.argv[1:]


def decode(row):
    image = Image.open(io.BytesIO(row["bytes"])).convert("L").resize((28, 28))
    return {"image": np.asarray(image, np.float32)[None] / np.float32(255)}


class Digits:
    def __init__(self, data):
        self.session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])

    def __call__(self, batch):
        logits = self.session.run(None, {"image": batch["image"]})[0]
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        return {"label": scores.argmax(axis=1).astype(str), "score": scores.max(axis=1)}


ray.init("local", num_cpus=int(workers) + 1, include_dashboard=False, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
of_tables = any(Path(given).glob("*.parquet"))
read = ray.data.read_parquet if of_tables else ray.data.read_binary_files
content = Path(model).read_bytes()
answered = (
    read(given)
    .map(decode)
    .map_batches(
        Digits,
        fn_constructor_args=[content],
        batch_size=256,
        compute=ray.data.ActorPoolStrategy(size=int(workers)),
        num_cpus=1,
    )
)
answered.write_parquet(output)
