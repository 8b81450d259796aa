"""A small server in the place of `ptx serve`: the page, answers and previews."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from ptx.infer import InputError, Predictor
from ptx.serve.page import preview, render


class Standin(ThreadingHTTPServer):
    """Keeps what it was sent."""

    def __init__(self, models: Mapping[str, Predictor]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models = models
        self.page = render([(name, model.manifest) for name, model in models.items()])
        self.asked: list[tuple[str, bytes]] = []  # model and body of each prediction

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(BaseHTTPRequestHandler):
    server: Standin

    def do_GET(self) -> None:
        self._answer(200, self.server.page, "text/html; charset=utf-8")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        parts = urlsplit(self.path).path.split("/")[1:]
        name = unquote(parts[1] if parts[0] == "predict" else parts[2])
        predictor = self.server.models[name]
        pictures = predictor.preprocessing.image_spec is not None
        value = body if pictures else body.decode()
        try:
            if parts[-1] == "preview":
                self._answer(200, *preview(predictor.preprocessing, value))
                return
            self.server.asked.append((name, body))
            self._answer(200, predictor.predict(value, top=5).to_json().encode())
        except InputError as error:
            self._answer(422, json.dumps({"error": f"[{error.code}] {error}"}).encode())

    def _answer(self, status: int, body: bytes, kind: str = "application/json") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def standin(models: Mapping[str, Predictor]) -> Iterator[Standin]:
    """The server, in a thread."""
    with Standin(models) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()
