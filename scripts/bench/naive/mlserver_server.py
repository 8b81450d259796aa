"""The protocol's tensors on MLServer, one process, no metrics: `… MODEL PORT GRPC_PORT`."""

import asyncio
import sys

import onnxruntime
from mlserver import MLModel, MLServer
from mlserver.codecs import NumpyCodec
from mlserver.settings import ModelSettings, Settings
from mlserver.types import InferenceResponse


class Convnet(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            sys.argv[1], options, providers=["CPUExecutionProvider"]
        )
        return True

    async def predict(self, payload):
        inputs = {item.name: NumpyCodec.decode_input(item) for item in payload.inputs}
        logits = self.session.run(None, inputs)[0]
        return InferenceResponse(
            model_name=self.name, outputs=[NumpyCodec.encode_output("logits", logits)]
        )


async def main():
    settings = Settings(
        host="127.0.0.1",
        http_port=int(sys.argv[2]),
        grpc_port=int(sys.argv[3]),
        parallel_workers=0,
        metrics_endpoint=None,
        debug=False,
        model_repository_root="/dev/null",
    )
    server = MLServer(settings)
    await server.start([ModelSettings(name="convnet", implementation=Convnet)])


asyncio.run(main())
