"""Forms, and the addresses of the server as OpenAPI."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from .conftest import MODELS, Serve, Served


def form(*parts: tuple[str, str, bytes]) -> tuple[bytes, dict[str, str]]:
    """A body of fields (name, file name or "", content), and its header."""
    body = b""
    for name, file, content in parts:
        named = f'; filename="{file}"' if file else ""
        head = f'--edge\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return body + b"--edge--\r\n", {"Content-Type": "multipart/form-data; boundary=edge"}


def test_a_file_in_a_form_is_what_the_body_is(served: Served, seven: Path) -> None:
    content = seven.read_bytes()
    plain = served.ask("POST", "/predict/convnet", content)
    sent = served.ask("POST", "/predict/convnet?top=5", *form(("file", "seven.png", content)))
    assert (plain.status, sent.status) == (200, 200)
    assert sent.json["label"] == plain.json["label"]
    assert len(sent.json["top"]) == 5
    assert "low_confidence" in sent.json
    large = form(("file", "seven.bmp", content + bytes(2 * 2**20)))
    assert served.ask("POST", "/predict/convnet", *large).status in (200, 422)


def test_a_text_in_a_form_is_a_text(served: Served) -> None:
    plain = served.ask("POST", "/predict/name-classifier", "Zoë".encode())
    sent = served.ask("POST", "/predict/name-classifier", *form(("file", "", "Zoë".encode())))
    assert (sent.status, sent.json) == (200, plain.json)


def test_a_text_in_json_is_a_text(served: Served) -> None:
    json_header = {"Content-Type": "application/json; charset=utf-8"}
    for model, name, text in (
        ("name-classifier", "text", "Zoë"),
        ("diabetes", "row", "0,0,0,0,0,0,0,0"),
    ):
        address = f"/predict/{model}"
        plain = served.ask("POST", address, text.encode())
        sent = served.ask("POST", address, json.dumps({name: text}).encode(), json_header)
        assert (sent.status, sent.json) == (200, plain.json)
        for other in (
            b"{",
            b'"Zo"',
            b"[]",
            b"{}",
            b'{"other": "Zo"}',
            b'{"%s": 1}' % name.encode(),
        ):
            assert served.ask("POST", address, other, json_header).status == 400, other


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [("picture", "a.png", b"x")],
        [("file", "a.png", b"x"), ("other", "", b"x")],
        [("file", "a.png", b"x"), ("file", "b.png", b"x")],
    ],
)
def test_other_forms_are_refused(served: Served, parts: list[Any]) -> None:
    answer = served.ask("POST", "/predict/convnet", *form(*parts))
    assert answer.status == 400
    served.good()


@pytest.mark.parametrize(
    "header", ["multipart/form-data", "multipart/form-data; boundary=x", "multipart/form-data; a"]
)
def test_a_form_that_is_none_is_refused(served: Served, header: str) -> None:
    answer = served.ask("POST", "/predict/convnet", b"--edge\r\n\r\n", {"Content-Type": header})
    assert answer.status == 400
    served.good()


def test_a_form_within_the_limit_of_bodies_alone(served: Served) -> None:
    body, headers = form(("file", "a.png", bytes(5 * 2**20)))
    assert served.ask("POST", "/predict/convnet", body, headers).status == 413


def test_openapi_is_valid_and_each_address_is_there(served: Served) -> None:
    document = served.ask("GET", "/openapi.json").json
    validate(document)
    for path, operations in document["paths"].items():
        for method in operations:
            answer = served.ask(method.upper(), path)
            expected = {400, 422} if method == "post" else {200}
            assert answer.status in expected, (method, path, answer)
    assert {f"/v2/models/{name}/infer" for name in MODELS} <= set(document["paths"])


def test_openapi_names_what_a_model_takes_and_that_a_token_is_needed(serve: Serve) -> None:
    one = serve(tokens=("secret",))
    assert one.ask("GET", "/openapi.json").status == 401
    answer = one.ask("GET", "/openapi.json", headers={"Authorization": "Bearer secret"})
    document = json.loads(answer.body)
    assert document["security"] == [{"token": []}]
    summary = document["paths"]["/v2/models/convnet/infer"]["post"]["summary"]
    assert "image: FP32 [-1, 1, 28, 28]" in summary


def test_the_page_of_the_addresses_needs_nothing_else(served: Served) -> None:
    answer = served.ask("GET", "/docs")
    assert answer.headers["content-type"].startswith("text/html")
    text = answer.body.decode()
    assert "curl -F file=@FILE $SERVER/predict/convnet" in text
    in_json = html.escape("""curl --json '{"text": "TEXT"}' $SERVER/predict/name-classifier""")
    assert in_json in text
    assert "<script" not in text
    assert "http://" not in text.replace("$SERVER", "")
