"""What a client may send that it should not: each has its answer, and a good request after it too.

The numbers are those of CONTRIBUTING.md.
"""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image

from .conftest import Served, binary, request, until

INFER = "/v2/models/convnet/infer"
X = np.zeros((1, 1, 28, 28), np.float32)
BODY, HEADER = binary(X)
HEAD_SIZE = int(HEADER["Inference-Header-Content-Length"])


def post(body: bytes = BODY, path: str = INFER, **headers: str) -> bytes:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return request("POST", path, body, HEADER | names if body is BODY else names)


def head(*lines: str) -> bytes:
    return "\r\n".join((f"POST {INFER} HTTP/1.1", "Host: a", *lines, "", "")).encode("latin-1")


def json(**changes: Any) -> bytes:
    tensor = {"name": "image", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": [0] * 784}
    return post(orjson.dumps({"inputs": [tensor | changes]}))


def text(body: str) -> bytes:
    return post(body.encode("utf-8", "surrogatepass"))


def raw(size: Any, *, data: bytes = X.tobytes(), length: Any = None, **changes: Any) -> bytes:
    tensor = {
        "name": "image",
        "shape": [1, 1, 28, 28],
        "datatype": "FP32",
        "parameters": {"binary_data_size": size},
    } | changes
    start = orjson.dumps({"inputs": [tensor]})
    given = {"Inference-Header-Content-Length": str(len(start) if length is None else length)}
    return request("POST", INFER, start + data, given)


def value(data: bytes, model: str = "convnet") -> bytes:
    return request("POST", f"/predict/{model}", data)


def packed(body: bytes, encoding: str = "gzip") -> bytes:
    return request("POST", INFER, body, HEADER | {"Content-Encoding": encoding})


def bomb(width: int, height: int, mode: str = "1") -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    depth, colour = (1, 0) if mode == "1" else (8, 2)
    line = bytes(1 + (width * (1 if colour == 0 else 24) + 7) // 8)
    data = zlib.compress(line * min(height, 2000))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def many_inputs() -> bytes:
    tensor = {"name": "image", "shape": [1], "datatype": "FP32", "data": [0]}
    return post(orjson.dumps({"inputs": [tensor] * 10_000}))


def twice() -> bytes:
    tensor = {"name": "image", "shape": [1, 1, 28, 28], "datatype": "FP32", "data": [0] * 784}
    return post(orjson.dumps({"inputs": [tensor, tensor]}))


def outputs(name: str, **parameters: Any) -> bytes:
    body, headers = binary(X, outputs=[{"name": name, "parameters": parameters}])
    return request("POST", INFER, body, headers)


BAD = (400,)
CLOSED = (400, 0)
CHUNKED = head("Transfer-Encoding: chunked")
FRAMES = {
    "1 garbage": (b"\x00\x01garbage\r\n\r\n", CLOSED),
    "2 TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64), CLOSED),
    "3 HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", CLOSED),
    "4 HTTP/0.9": (b"GET /v2\r\n\r\n", (200,)),  # uvicorn answers it
    "5 two lengths": (head("Content-Length: 5", "Content-Length: 6") + b"hello", CLOSED),
    "6 length and chunked": (head("Content-Length: 5", "Transfer-Encoding: chunked"), CLOSED),
    "7 length -1": (head("Content-Length: -1"), CLOSED),
    "8 length 1e3": (head("Content-Length: 1e3"), CLOSED),
    "9 length 2^70": (head(f"Content-Length: {2**70}"), (400, 413)),
    "10 chunk of 2^64": (CHUNKED + b"10000000000000000\r\n", CLOSED),
    "11 small chunks": (CHUNKED + b"1\r\n{\r\n" * 60_000 + b"0\r\n\r\n", CLOSED),
    "12 folded header": (head("X-A: b\r\n c"), CLOSED),
    "12 bare CR": (head("X-A: b\rc"), CLOSED),
    "13 NUL in a header": (head("X-A: b\x00c"), CLOSED),
    "15 header of 600 KiB": (head("X-A: " + "b" * 600_000), (431,)),
    "16 60,000 headers": (head(*(f"X-{i}: b" for i in range(60_000))), (431,)),
    "17 address of 64 KiB": (request("GET", "/" + "a" * 65536), (414, 431, 400)),
    "18 length of 1 TB": (head(f"Content-Length: {10**12}"), (413,)),
    "19 expect": (post(Expect="100-continue"), (200,)),
}
PATHS = {
    "21 GET infer": (request("GET", INFER), (405,)),
    "22 DELETE": (request("DELETE", INFER), (405,)),
    "22 TRACE": (request("TRACE", INFER), (405,)),
    "22 CONNECT": (b"CONNECT a:1 HTTP/1.1\r\n\r\n", (400, 405)),
    "24 ../": (request("GET", "/v2/../../etc/passwd"), (400, 404)),
    "25 %2e%2e": (request("GET", "/v2/models/%2e%2e%2f%2e%2e%2fetc"), (400, 404)),
    "26 %00": (request("GET", "/v2/models/a%00b"), (400, 404)),
    "27 absolute": (request("GET", "http://elsewhere/v2/models/x"), (400, 404)),
    "28 unknown model": (post(path="/v2/models/nobody/infer"), (404,)),
    "29 unknown version": (post(path="/v2/models/convnet/versions/7/infer"), (404,)),
    "30 version ..": (post(path="/v2/models/convnet/versions/..%2f1/infer"), (404,)),
    "31 load": (post(b"{}", "/v2/repository/models/convnet/load"), (403, 501)),
    "32 unload": (post(b"{}", "/v2/repository/models/convnet/unload"), (403, 501)),
    "33 shared memory": (post(b"{}", "/v2/systemsharedmemory/region/x/register"), (501,)),
    "34 log file": (post(b'{"log_file":"/tmp/x"}', "/v2/logging"), (501,)),
}
JSON = {
    "35 empty": (post(b""), BAD),
    "36 {": (text("{"), BAD),
    "37 a list": (text("[]"), BAD),
    "38 100,000 deep": (text("[" * 100_000 + "]" * 100_000), BAD),
    "39 data 900 deep": (
        text(
            '{"inputs":[{"name":"image","shape":[1],"datatype":"FP32","data":'
            + "[" * 900
            + "1"
            + "]" * 900
            + "}]}"
        ),
        BAD,
    ),
    "40 100,000 digits": (
        text(
            '{"inputs":[{"name":"image","shape":[1],"datatype":"FP32","data":['
            + "1" * 100_000
            + "]}]}"
        ),
        BAD,
    ),
    "41 NaN": (
        text('{"inputs":[{"name":"image","shape":[1],"datatype":"FP32","data":[NaN]}]}'),
        BAD,
    ),
    "42 half a surrogate": (text('{"id":"\ud800","inputs":[]}'), BAD),
    "42 escaped": (
        text(
            '{"id":"\\ud800","inputs":[{"name":"image","shape":[1,1,28,28],'
            f'"datatype":"FP32","data":{[0] * 784}}}]}}'
        ),
        BAD,
    ),
    "43 id a number": (
        post(
            orjson.dumps(
                {
                    "id": 5,
                    "inputs": [
                        {
                            "name": "image",
                            "datatype": "FP32",
                            "shape": [1, 1, 28, 28],
                            "data": [0] * 784,
                        }
                    ],
                }
            )
        ),
        BAD,
    ),
    "44 no inputs": (text('{"inputs":[]}'), BAD),
    "45 10,000 inputs": (many_inputs(), BAD),
    "46 an input twice": (twice(), BAD),
    "47 unknown input": (json(name="nobody"), BAD),
    "48 name null": (json(name=None), BAD),
    "49 unknown datatype": (json(datatype="FP33"), BAD),
    "50 another datatype": (json(datatype="INT32"), BAD),
    "51 texts": (json(data=["1.5"] * 784), BAD),
    "52 true": (json(data=[True] + [0.5] * 783), BAD),
    "53 null": (json(data=[None] * 784), BAD),
    "54 ragged": (json(data=[[1, 2], [3]]), BAD),
    "55 too few": (json(data=[0] * 783), BAD),
    "56 no data": (json(data=None), BAD),
    "57 parameters a list": (json(parameters=[]), BAD),
}
SHAPES = {
    "58 -1": (json(shape=[-1, 1, 28, 28]), BAD),
    "59 1.0": (json(shape=[1.0, 1, 28, 28]), BAD),
    "60 true": (json(shape=[True, 1, 28, 28]), BAD),
    "61 overflow": (json(shape=[2**4, 2**60 + 2, 1, 1]), BAD),
    "62 overflow": (raw(X.nbytes, shape=[2**2, 2**60 + 2, 1, 1]), BAD),
    "63 65536²": (json(shape=[1, 1, 65536, 65536], data=[0]), BAD),
    "64 1,000 axes": (json(shape=[1] * 1000), BAD),
    "65 another shape": (json(shape=[1, 1, 14, 56]), BAD),
    "66 over the limit": (
        post(
            orjson.dumps(
                {
                    "inputs": [
                        {
                            "name": "image",
                            "datatype": "FP32",
                            "shape": [65, 1, 28, 28],
                            "data": [0] * 784 * 65,
                        }
                    ]
                }
            )
        ),
        BAD,
    ),
    "67 empty batch": (json(shape=[0, 1, 28, 28], data=[]), (200,)),
}
OUTPUTS = {
    "68 unknown": (outputs("nobody"), BAD),
    "69 classification -1": (outputs("logits", classification=-1), BAD),
    "70 classification 10^18": (outputs("logits", classification=10**18), (200,)),
}
BINARY = {
    "71 header over the body": (raw(X.nbytes, length=10**6), BAD),
    "72 header -1": (raw(X.nbytes, length=-1), BAD),
    "73 header 1e3": (raw(X.nbytes, length="1e3"), BAD),
    "74 cuts the JSON": (raw(X.nbytes, length=20), BAD),
    "75 size too small": (raw(X.nbytes - 4), BAD),
    "76 size too large": (raw(X.nbytes + 4), BAD),
    "77 size -1": (raw(-1), BAD),
    "78 size 2^63": (raw(2**63), BAD),
    "79 bytes behind": (raw(X.nbytes, data=X.tobytes() + b"more"), BAD),
    "80 data and size": (raw(X.nbytes, data=X.tobytes()), (200,)),
    "81 NaN": (raw(X.nbytes, data=np.full_like(X, np.nan).tobytes()), BAD),
    "82 raw of a wrong size": (raw(0, length=0, data=b"12345"), BAD),
    "83 BYTES past the end": (
        raw(8, data=b"\xff\xff\x00\x00abcd", name="picture", shape=[1], datatype="BYTES"),
        BAD,
    ),
    "84 2^30 elements": (
        raw(4, data=b"\0\0\0\0", name="picture", shape=[2**30], datatype="BYTES"),
        BAD,
    ),
    "85 BOOL of 2": (raw(1, data=b"\x02", shape=[1], datatype="BOOL"), BAD),
}
PACKED = {
    "86 gzip bomb": (packed(gzip.compress(bytes(256 * 2**20), 9)), (413,)),
    "87 ends early": (packed(gzip.compress(BODY)[:-9]), BAD),
    "88 something behind": (packed(gzip.compress(BODY) + b"more"), BAD),
    "89 not zlib": (packed(b"hello", "deflate"), BAD),
    "90 br": (packed(BODY, "br"), (415,)),
    "91 gzip, gzip": (packed(gzip.compress(gzip.compress(BODY)), "gzip, gzip"), (415,)),
    "a good one": (packed(gzip.compress(BODY)), (200,)),
}
PICTURES = {
    "92 no picture": (value(bytes(range(256))), (422,)),
    "93 empty": (value(b""), (422,)),
    "94 50,000²": (value(bomb(50_000, 50_000)), (413,)),
    "95 PNG bomb": (value(bomb(30_000, 30_000, "RGB")), (413,)),
    "96 SVG": (value(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), (422,)),
    "96 PDF": (value(b"%PDF-1.7\n"), (422,)),
    "96 a path": (value(b"/etc/passwd"), (422,)),
    "96 text that is no UTF-8": (value(b"\xff\xfe", "name-classifier"), (422,)),
    "96 empty text": (value(b"", "name-classifier"), (422,)),
    "96 no row": (value(b"1,2", "diabetes"), (422,)),
}
CASES = FRAMES | PATHS | JSON | SHAPES | OUTPUTS | BINARY | PACKED | PICTURES


@pytest.mark.parametrize("case", CASES)
def test_it_has_its_answer_and_others_have_theirs(served: Served, case: str) -> None:
    data, statuses = CASES[case]
    answer = served.send(data)
    assert answer.status in statuses, (answer.status, answer.body[:300])
    if answer.status >= 400:
        assert answer.headers["content-type"] == "application/json"
        assert isinstance(answer.json["error"], str)
        assert "/tmp" not in answer.json["error"]
    served.good()
    assert until(lambda: served.service.memory.used == 0)


def test_80_data_and_size(served: Served) -> None:
    tensor = {
        "name": "image",
        "shape": [1, 1, 28, 28],
        "datatype": "FP32",
        "data": [0] * 784,
        "parameters": {"binary_data_size": X.nbytes},
    }
    start = orjson.dumps({"inputs": [tensor]})
    headers = {"Inference-Header-Content-Length": str(len(start))}
    assert served.infer(start + X.tobytes(), headers).status == 400


def test_14_a_connection_that_ends_within_a_body_is_closed(served: Served) -> None:
    with served.connect() as sock:
        sock.sendall(head("Content-Length: 100") + b"{")
        sock.shutdown(1)
        assert sock.recv(2**16) == b""
    assert until(lambda: served.service.memory.used == 0)
    served.good()


def test_23_another_origin_is_given_no_leave(served: Served) -> None:
    answer = served.ask("OPTIONS", INFER, headers={"Origin": "http://elsewhere"})
    assert answer.status == 405
    assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_picture_is_never_read_as_a_path(served: Served) -> None:
    """A text in JSON for the input `picture` is the content of a file, and no name of one."""
    path = str(__import__("pathlib").Path(__file__).parents[1] / "pictures/mnist-7.png")
    body = orjson.dumps(
        {"inputs": [{"name": "picture", "shape": [1], "datatype": "BYTES", "data": [path]}]}
    )
    answer = served.infer(body)
    assert answer.status == 422
    assert "not a picture" in answer.json["error"] or "format" in answer.json["error"]


def test_the_bytes_of_a_picture_are_read_as_one(served: Served) -> None:
    stream = io.BytesIO()
    Image.new("L", (28, 28), 0).save(stream, "PNG")
    assert served.send(value(stream.getvalue())).status in (200, 422)  # 422: it shows nothing
