"""Clients of gRPC that send the next request as soon as they have a response.

`grpc_clients.py PORT CLIENTS SECONDS`
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

import grpc
import numpy as np

from ptx.serve.grpc.protobuf import grpc_service_pb2 as pb2
from ptx.serve.grpc.servicer import SERVICE


async def main(port: int, clients: int, seconds: float) -> dict[str, float]:
    """Good responses a second."""
    message = pb2.ModelInferRequest(
        model_name="convnet",
        inputs=[{"name": "image", "datatype": "FP32", "shape": [1, 1, 28, 28]}],
        raw_input_contents=[np.zeros(784, np.float32).tobytes()],
    )
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        infer = channel.unary_unary(
            f"/{SERVICE}/ModelInfer",
            request_serializer=type(message).SerializeToString,
            response_deserializer=pb2.ModelInferResponse.FromString,
        )
        await infer(message, wait_for_ready=True)
        end, count = time.perf_counter() + seconds, 0

        async def client() -> None:
            nonlocal count
            while time.perf_counter() < end:
                await infer(message)
                count += 1

        await asyncio.gather(*(client() for _ in range(clients)))
    return {"good": count / seconds}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))
