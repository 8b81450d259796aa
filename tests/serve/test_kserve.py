"""KServe's Python client, unmodified, in an environment of its own: PTX_KSERVE names it."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ptx.infer import load

from .conftest import Served

KSERVE = os.environ.get("PTX_KSERVE", "")
DIGIT = Path(__file__).parents[1] / "pictures" / "mnist-7.png"
CLIENT = Path(__file__).with_name("kserve_client.py")


@pytest.mark.skipif(
    not KSERVE, reason="PTX_KSERVE names no folder that scripts/setup/kserve has made"
)
def test_the_client_of_kserve_is_answered_as_predict_answers(served: Served, artifact: Any) -> None:
    command = [f"{KSERVE}/bin/python", CLIENT, served.port, served.grpc_port, DIGIT]
    done = subprocess.run(
        list(map(str, command)), check=True, capture_output=True, text=True, timeout=120
    )
    found = json.loads(done.stdout.splitlines()[-1])
    http, grpc = found["http"], found["grpc"]
    array = np.random.default_rng(0).random((2, 1, 28, 28), np.float32)
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as predictor:
        logits = predictor.run({"image": array})["logits"].tolist()
        prediction = predictor.predict(DIGIT)
    assert all(http[name] is grpc[name] is True for name in ("live", "ready", "model"))
    assert http["json"] == http["binary"] == {"logits": logits}
    assert grpc["logits"] == logits
    assert http["picture"] == {"label": [prediction.label], "score": [prediction.score]}
    assert http["json id"] == grpc["id"] == "seven"
    assert "Request for unknown model" in http["unknown"]
