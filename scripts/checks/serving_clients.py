"""The same requests to `ptx serve` and to a real Triton, beside each other in one table.

    ./scripts/run checks/serving_clients ptx=127.0.0.1:8000 triton=127.0.0.1:9000 MODEL.onnx ...

The second server has the repository that `ptx export --format triton` writes. The client is tritonclient
over HTTP, unmodified. A cell is the type and shape of an answer with the first digits of its sha256, or
what a refusal is. Rows whose cells differ are marked, and the exit code is then 1.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tritonclient.http as http
from tritonclient.utils import InferenceServerException

from ptx.infer import Predictor, load
from ptx.infer.preprocessing import open_preprocessing
from ptx.serve.own_input import own_input

DATATYPES = {"float32": "FP32", "int64": "INT64", "float64": "FP64"}
Ask = Callable[[Any, bool], Any]  # of a client, and whether it is Triton


def tensor(name: str, array: Any, shape: list[int] | None = None) -> Any:
    given = http.InferInput(
        name, shape or list(array.shape), DATATYPES.get(array.dtype.name, "BYTES")
    )
    given.set_data_from_numpy(array)
    return given


def cases(predictor: Predictor) -> Iterator[tuple[str, Ask]]:
    """What is asked of one model: a title and the question."""
    name, card = predictor.card.model, predictor.card
    first = card.signature.outputs[0].name
    yield f"{name}: ready", lambda client, _: client.is_model_ready(name)
    yield f"{name}: metadata", lambda client, _: _tensors(client.get_model_metadata(name))
    for rows in (1, 3):
        sizes = dict.fromkeys(card.signature.dynamic_axes, 5) | {"batch": rows}
        inputs = [tensor(*item) for item in card.signature.example(sizes, seed=rows).items()]
        yield f"{name}: {rows} rows", _infer(name, inputs, first)
    if card.labels:
        ranked = [http.InferRequestedOutput(first, class_count=2)]
        yield f"{name}: the 2 best classes", _infer(name, inputs, first, ranked)
    given = own_input(card, open_preprocessing(card.preprocessing, card.signature))
    values = [value for sample in card.raw for value in sample.values][:3]
    for output in ("label", "score") if card.labels else ("value",):
        yield (
            f"{name}: {output} of {len(values)} values",
            _values(name, given or "", values, output),
        )
    yield f"{name}: a value that is none", _values(name, given or "", [b""], "label")


def refusals(name: str) -> Iterator[tuple[str, Ask]]:
    """What no server may answer, by a model of one FP32 input."""
    image = np.zeros((1, 1, 28, 28), np.float32)
    yield "unknown model", _infer("unknown", [tensor("image", image)], "logits")
    yield "unknown input", _infer(name, [tensor("picture_", image)], "logits")
    yield "another shape", _infer(name, [tensor("image", image[..., :27])], "logits")
    yield "another type", _infer(name, [tensor("image", image.astype(np.int64))], "logits")
    yield (
        "unknown output",
        _infer(
            name, [tensor("image", image)], "logits", [http.InferRequestedOutput("probabilities")]
        ),
    )
    yield "no rows", _infer(name, [tensor("image", image[:0])], "logits")


def _infer(name: str, inputs: list[Any], output: str, wanted: list[Any] | None = None) -> Ask:
    return lambda client, _: client.infer(name, inputs, outputs=wanted).as_numpy(output)


def _values(name: str, given: str, values: list[Any], output: str) -> Ask:
    def ask(client: Any, triton: bool) -> Any:
        array = np.array([[_bytes(value)] for value in values], np.object_)
        model = f"{name}_predict" if triton else name
        return client.infer(model, [tensor(given, array)]).as_numpy(output)

    return ask


def _bytes(value: Any) -> bytes:
    if isinstance(value, tuple):
        value = ",".join(map(repr, value))
    return value if isinstance(value, bytes) else str(value).encode()


def _tensors(metadata: dict[str, Any]) -> str:
    return " ".join(
        f"{one['name']}:{one['datatype']}{one['shape']}".replace("'", "").replace(" ", "")
        for one in (*metadata["inputs"], *metadata["outputs"])
    )


def show(ask: Ask, client: Any, triton: bool) -> tuple[str, str]:
    """A cell, and what of it must be equal."""
    try:
        found = ask(client, triton)
    except InferenceServerException as error:
        return f"refused, {error.status()}", "refused"
    if not isinstance(found, np.ndarray):
        return str(found), str(found)
    flat = found.astype("S") if found.dtype == np.object_ else found
    digest = hashlib.sha256(b"\n".join(flat.ravel()) if flat.dtype.kind == "S" else flat.tobytes())
    kind = "BYTES" if found.dtype == np.object_ else found.dtype.name
    return f"{kind} {list(found.shape)} {digest.hexdigest()[:8]}", digest.hexdigest()


def main() -> int:
    servers = dict(word.split("=", 1) for word in sys.argv[1:3])
    clients = {name: http.InferenceServerClient(address) for name, address in servers.items()}
    predictors = [load(Path(path), backend="ort-cpu") for path in sys.argv[3:]]
    asked = [case for predictor in predictors for case in cases(predictor)]
    asked += refusals("convnet") if any(one.card.model == "convnet" for one in predictors) else []
    print("| |", *(f"{name} |" for name in servers), "|")
    print("|---|" + "---|" * (len(servers) + 1))
    differing = 0
    for title, ask in asked:
        cells = [show(ask, client, name == "triton") for name, client in clients.items()]
        equal = len({key for _, key in cells}) == 1
        differing += not equal
        print("|", title, "|", *(f"{cell} |" for cell, _ in cells), "" if equal else "differs", "|")
    return min(differing, 1)


if __name__ == "__main__":
    sys.exit(main())
