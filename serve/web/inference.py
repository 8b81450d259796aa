"""A request for inference over HTTP: taken in, read, queued, answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from ptx.serve import page
from ptx.serve.describing import raw_shape
from ptx.serve.messages import Asked, raw_request, read_request, write_answer
from ptx.serve.model import TOP, VERSION, Model
from ptx.serve.queue.jobs import Job, Result
from ptx.serve.refusals import RefusalError, bad, refusal
from ptx.serve.registry import Registry
from ptx.serve.settings import Settings
from ptx.serve.tensors import BYTES, Tensor
from ptx.serve.web.exchange import JSON, Exchange
from ptx.serve.web.packing import pack, unpack

OCTETS = "application/octet-stream"
_LARGE = 256 * 2**10  # bytes of a request that are read in a thread
_HEADER = b"inference-header-content-length"


class Form(NamedTuple):
    """How a request is read and its answer written."""

    read: Callable[[Exchange, Model], Asked]
    finish: Callable[[Exchange, Model, Asked, Result], None]


class Inference:
    """What is done with requests to the models of a registry."""

    def __init__(self, registry: Registry, settings: Settings) -> None:
        self._registry, self._settings = registry, settings
        self._tasks: set[asyncio.Task[None]] = set()
        self._protocol = Form(self._read, _finish)

    def infer(self, exchange: Exchange, name: str) -> None:
        """The protocol's own form: tensors."""
        exchange.model = name
        self._admit(exchange, self._protocol)

    def predict(self, exchange: Exchange, name: str, query: str) -> None:
        """A picture's file, a text or a row as the body; what `ptx predict --json` prints comes out."""
        exchange.model = name
        top = parse_qs(query).get("top", [str(TOP)])[0]
        if not (top.isascii() and top.isdigit() and 1 <= int(top[:9]) <= 10_000):
            raise bad("top is no number of labels")

        def read(exchange: Exchange, model: Model) -> Asked:
            if model.value is None:
                raise bad(f"model '{name}' has no preprocessing: send its tensors to /v2")
            return Asked([Tensor(model.value, BYTES, (1,), [self._body(exchange)])], top=int(top))

        self._admit(exchange, Form(read, _finish_prediction))

    def preview(self, exchange: Exchange, model: Model) -> None:
        """What the model sees of a body that `predict` takes."""
        if model.value is None:
            raise bad(f"model '{model.name}' has no preprocessing: there is nothing to show")

        def look() -> tuple[bytes, str]:
            value = model.decode(self._body(exchange))
            try:
                return page.preview(model.predictor.preprocessing, value)
            except Exception as error:
                raise refusal(error, of_value=True) from error

        async def show() -> None:
            exchange.answer(200, *await asyncio.to_thread(look))

        self.later(exchange, show())

    def later(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
        """Do what takes a while beside the other requests."""

        async def answering() -> None:
            try:
                await work
            except Exception as error:
                exchange.refuse(refusal(error))

        task = asyncio.get_running_loop().create_task(answering())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

        def abandon() -> None:
            task.cancel()

        exchange.gone = abandon

    def _admit(self, exchange: Exchange, form: Form) -> None:
        batcher = self._registry.find(exchange.model)
        pause = self._registry.pause(batcher)
        if pause or len(exchange.body) > _LARGE or b"content-encoding" in exchange.headers:
            self.later(exchange, self._read_apart(exchange, form, pause))
        else:
            asked = form.read(exchange, batcher.model)
            batcher.submit(self._job(exchange, form, batcher.model, asked),
                           alone=exchange.connection.is_only)  # fmt: skip

    async def _read_apart(self, exchange: Exchange, form: Form, pause: float) -> None:
        """Hold a request that would have to wait: a client refused at once would be back at once."""
        await asyncio.sleep(pause)
        model = self._registry.find(exchange.model).model
        asked = await asyncio.to_thread(form.read, exchange, model)
        batcher = self._registry.find(exchange.model)  # which may be a new one since
        self._registry.submit(batcher, self._job(exchange, form, batcher.model, asked))

    def _job(self, exchange: Exchange, form: Form, model: Model, asked: Asked) -> Job:
        job = model.job(asked, self._settings.max_batch)
        job.deliver = partial(_deliver, exchange, form, model, asked)
        exchange.gone = job.abandon
        return job

    def _read(self, exchange: Exchange, model: Model) -> Asked:
        body = self._body(exchange)
        given = exchange.headers.get(_HEADER)
        if given is None:
            self._check_json(len(body))
            return read_request(body, None)
        if not given.isdigit() or len(given) > 12 or int(given) > len(body):
            raise bad("Inference-Header-Content-Length is not within the body")
        if int(given) == 0:
            return raw_request(body, *raw_shape(model, len(body)))
        self._check_json(int(given))
        return read_request(body, int(given))

    def _check_json(self, size: int) -> None:
        limit = self._settings.max_json
        if size > limit:
            raise RefusalError(413, f"the JSON has more than {limit} bytes (--max-json)")

    def _body(self, exchange: Exchange) -> bytes:
        encoding = exchange.headers.get(b"content-encoding")
        if encoding is None:
            return exchange.body
        return unpack(exchange.body, encoding, self._settings.max_body)


def _deliver(
    exchange: Exchange, form: Form, model: Model, asked: Asked, result: Result | RefusalError
) -> None:
    try:
        if isinstance(result, RefusalError):
            raise result
        form.finish(exchange, model, asked, result)
    except Exception as error:
        exchange.refuse(refusal(error))


def _finish(exchange: Exchange, model: Model, asked: Asked, result: Result) -> None:
    body, header = write_answer(model.name, VERSION, asked, model.answer(asked, result))
    headers = [] if header is None else [f"Inference-Header-Content-Length: {header}"]
    accepted = exchange.headers.get(b"accept-encoding")
    if accepted is not None:
        body, encoding = pack(body, accepted)
        headers += [] if encoding is None else [f"Content-Encoding: {encoding}"]
    exchange.answer(200, body, JSON if header is None else OCTETS, headers)


def _finish_prediction(exchange: Exchange, model: Model, asked: Asked, result: Result) -> None:
    assert isinstance(result, list)
    exchange.answer(200, result[0].to_json().encode())
