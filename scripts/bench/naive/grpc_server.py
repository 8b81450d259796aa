"""The protocol's ModelInfer on bare grpc.aio: `grpc_server.py MODEL PORT`."""

import asyncio
import sys

import grpc
import numpy as np
import onnxruntime
from tritonclient.grpc import service_pb2, service_pb2_grpc

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(sys.argv[1], options, providers=["CPUExecutionProvider"])


class Service(service_pb2_grpc.GRPCInferenceServiceServicer):
    async def ModelInfer(self, request, context):  # noqa: N802
        inputs = {
            tensor.name: np.frombuffer(raw, np.float32).reshape(tuple(tensor.shape))
            for tensor, raw in zip(request.inputs, request.raw_input_contents, strict=True)
        }
        logits = session.run(None, inputs)[0]
        output = {"name": "logits", "datatype": "FP32", "shape": logits.shape}
        return service_pb2.ModelInferResponse(
            model_name="convnet", outputs=[output], raw_output_contents=[logits.tobytes()]
        )


async def main():
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Service(), server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[2]}")
    await server.start()
    await server.wait_for_termination()


asyncio.run(main())
