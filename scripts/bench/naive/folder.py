"""A folder of pictures, one after the other, to JSON Lines: `folder.py FOLDER MODEL OUTPUT`."""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

folder, model, output = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
with Path(output).open("w") as file:
    for path in sorted(Path(folder).iterdir()):
        image = Image.open(path).convert("L")
        if image.size != (28, 28):
            image = image.resize((28, 28))
        pixels = np.asarray(image, np.float32)[None, None] / np.float32(255)
        logits = session.run(None, {"image": pixels})[0][0]
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        label = int(scores.argmax())
        record = {"input": str(path), "label": str(label), "score": float(scores[label])}
        file.write(json.dumps(record) + "\n")
