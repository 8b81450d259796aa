"""KServe's own client, unmodified: `kserve_client.py HTTP_PORT GRPC_PORT PICTURE` prints JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from kserve import InferInput, InferRequest
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


def images(*, binary: bool) -> Any:
    """Two rows, the same ones in each process."""
    array = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    tensor = InferInput("image", list(array.shape), "FP32")
    tensor.set_data_from_numpy(array, binary_data=binary)
    wanted = [RequestedOutput("logits", {"binary_data": binary})]
    return InferRequest("convnet", [tensor], request_id="seven", request_outputs=wanted)


async def ask_http(base: str, picture: Path) -> dict[str, Any]:
    """Every method of the client."""
    client: Any = InferenceRESTClient(RESTConfig(protocol="v2", timeout=60))
    file = InferInput("picture", [1], "BYTES")
    file.set_data_from_numpy(np.array([picture.read_bytes()], object), binary_data=True)
    found: dict[str, Any] = {
        "live": await client.is_server_live(base),
        "ready": await client.is_server_ready(base),
        "model": await client.is_model_ready(base, "convnet"),
    }
    for name, request in {
        "json": images(binary=False),
        "binary": images(binary=True),
        "picture": InferRequest("convnet", [file]),
    }.items():
        answer = await client.infer(base, request, model_name="convnet")
        found[name] = {one.name: one.as_numpy().tolist() for one in answer.outputs}
        found[f"{name} id"] = answer.id
    try:
        await client.infer(base, images(binary=True), model_name="unknown")
    except Exception as error:
        found["unknown"] = str(error)
    await client.close()
    return found


async def ask_grpc(address: str) -> dict[str, Any]:
    """The same over gRPC."""
    client: Any = InferenceGRPCClient(address, timeout=60)
    answer = await client.infer(images(binary=False))
    found = {
        "live": await client.is_server_live(),
        "ready": await client.is_server_ready(),
        "model": await client.is_model_ready("convnet"),
        "id": answer.id,
        "logits": answer.outputs[0].as_numpy().tolist(),
    }
    await client.close()
    return found


async def main(port: str, grpc_port: str, picture: str) -> None:
    """Ask both."""
    found = {
        "http": await ask_http(f"http://127.0.0.1:{port}", Path(picture)),
        "grpc": await ask_grpc(f"127.0.0.1:{grpc_port}"),
    }
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
