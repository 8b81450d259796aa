"""A folder of pictures in batches to JSON Lines: `folder.py FOLDER MODEL OUTPUT PROCESSES`.

So many processes decode ahead; with 0 this one does.
"""

import json
import sys
from multiprocessing import Pool
from pathlib import Path

import numpy as np
from PIL import Image

folder, model, output, processes = sys.argv[1:]


def read(batch):
    return np.stack([pixels(path) for path in batch])


def pixels(path):
    image = Image.open(path)
    image.draft("L", (28, 28))  # a large JPEG at an eighth of its size
    return np.asarray(image.convert("L").resize((28, 28)))


paths = sorted(Path(folder).iterdir())
size = min(256, -(-len(paths) // 8))  # so that few pictures too are shared between the processes
batches = [paths[start : start + size] for start in range(0, len(paths), size)]
decoded = Pool(int(processes)).imap(read, batches) if int(processes) else map(read, batches)
import onnxruntime  # noqa: E402 - while the first are being read

session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
with Path(output).open("w") as file:
    for batch, images in zip(batches, decoded, strict=True):
        logits = session.run(None, {"image": images[:, None].astype(np.float32) / 255})[0]
        scores = np.exp(logits - logits.max(axis=1, keepdims=True))
        scores /= scores.sum(axis=1, keepdims=True)
        answers = zip(
            batch, scores.argmax(axis=1).tolist(), scores.max(axis=1).tolist(), strict=True
        )
        for path, label, score in answers:
            file.write(json.dumps({"input": str(path), "label": str(label), "score": score}) + "\n")
