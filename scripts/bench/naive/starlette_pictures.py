"""Pictures of digits on Starlette and uvicorn, as people write it: `… MODEL PORT`."""

import io
import sys

import numpy as np
import onnxruntime
import orjson
import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])
MEAN, STD = 0.1307, 0.3081


async def predict(request):
    image = Image.open(io.BytesIO(await request.body())).convert("L").resize((28, 28))
    pixels = (np.asarray(image, np.float32) / 255 - MEAN) / STD
    logits = session.run(None, {"image": pixels.reshape(1, 1, 28, 28)})[0][0]
    scores = np.exp(logits - logits.max())
    scores /= scores.sum()
    best = np.argsort(-scores)[:3]
    top = [{"label": str(index), "score": float(scores[index])} for index in best]
    return Response(orjson.dumps({**top[0], "top": top}), media_type="application/json")


app = Starlette(routes=[Route("/predict/convnet", predict, methods=["POST"])])
uvicorn.run(app, port=int(sys.argv[2]), log_level="critical", loop="uvloop", http="httptools")
