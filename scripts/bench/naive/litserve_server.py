"""A picture's numbers on LitServe with its batching, as its documentation has it: `… MODEL PORT`."""

import sys

import litserve
import numpy as np
import onnxruntime


class Convnet(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(
            sys.argv[1], options, providers=["CPUExecutionProvider"]
        )

    def decode_request(self, request):
        return np.array(request["inputs"][0]["data"], np.float32).reshape(1, 28, 28)

    def predict(self, batch):
        return self.session.run(None, {"image": np.asarray(batch)})[0]

    def encode_response(self, output):
        return {"outputs": [{"name": "logits", "data": output.tolist()}]}


if __name__ == "__main__":
    api = Convnet(max_batch_size=64, batch_timeout=0.0)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(
        port=int(sys.argv[2]), host="127.0.0.1", generate_client_file=False, log_level="critical"
    )
