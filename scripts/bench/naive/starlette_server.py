"""The protocol's tensors on Starlette and uvicorn, as people write it: `… MODEL PORT`."""

import sys

import numpy as np
import onnxruntime
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])


async def infer(request):
    body = await request.body()
    size = request.headers.get("inference-header-content-length")
    head = orjson.loads(body if size is None else body[: int(size)])
    inputs = {}
    place = len(body) if size is None else int(size)
    for tensor in head["inputs"]:
        if size is None:
            array = np.array(tensor["data"], np.float32)
        else:
            count = tensor["parameters"]["binary_data_size"]
            array = np.frombuffer(body[place : place + count], np.float32)
            place += count
        inputs[tensor["name"]] = array.reshape(tensor["shape"])
    logits = session.run(None, inputs)[0]
    described = {"name": "logits", "datatype": "FP32", "shape": logits.shape}
    answer = {"model_name": "convnet", "model_version": "1", "outputs": [described]}
    if size is None:
        described["data"] = logits.ravel()
        return Response(
            orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY), media_type="application/json"
        )
    described["parameters"] = {"binary_data_size": logits.nbytes}
    text = orjson.dumps(answer)
    return Response(
        text + logits.tobytes(),
        media_type="application/octet-stream",
        headers={"Inference-Header-Content-Length": str(len(text))},
    )


app = Starlette(routes=[Route("/v2/models/convnet/infer", infer, methods=["POST"])])
uvicorn.run(app, port=int(sys.argv[2]), log_level="critical", loop="uvloop", http="httptools")
