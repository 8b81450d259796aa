"""One picture with NumPy, Pillow and ONNX Runtime alone: `picture.py PICTURE MODEL`."""

import sys

import numpy as np
import onnxruntime
from PIL import Image

path, model = sys.argv[1:]
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
pixels = np.asarray(Image.open(path).convert("L"), np.float32)[None, None] / np.float32(255)
logits = session.run(None, {"image": pixels})[0][0]
scores = np.exp(logits - logits.max())
scores /= scores.sum()
print(f"{path}: {scores.argmax()} ({100 * scores.max():.1f} %)")
