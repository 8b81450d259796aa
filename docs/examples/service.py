"""A web service: images that arrive while a batch is computed form the next one.

pip install fastapi uvicorn
PTX_MODEL=convnet.onnx uvicorn --factory service:create_app
curl --data-binary @digit.png http://127.0.0.1:8000/predict
"""

from __future__ import annotations

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from ptx.infer import InputError, Prediction, Predictor, load
from ptx.infer.preprocessing import batch_key

BATCH = 64  # max. images in a batch
BODY_LIMIT = 10 * 2**20  # bytes of one image file
TOO_LARGE = {"E-IMG-TOO-LARGE", "E-IN-SIZE"}


class Job(NamedTuple):
    """An image that waits for its prediction."""

    sample: np.ndarray[Any, Any]
    prediction: asyncio.Future[Prediction]


class Batcher:
    """Collects the images of many requests into batches; one batch runs at a time."""

    def __init__(self, predictor: Predictor, *, limit: int = BATCH) -> None:
        self.predictor = predictor
        self._limit = limit
        self._jobs: asyncio.Queue[Job] = asyncio.Queue()

    async def predict(self, image: bytes) -> Prediction:
        """Predict one image; an `InputError` is raised before it joins a batch."""
        sample = await asyncio.to_thread(self.predictor.preprocessing.transform, image)
        job = Job(sample, asyncio.get_running_loop().create_future())
        await self._jobs.put(job)
        return await job.prediction

    async def serve(self) -> None:
        """Predict batch after batch, until cancelled."""
        while True:
            batch = await self._gather()
            try:
                predictions = await asyncio.to_thread(self._run, batch)
            except Exception as error:  # for the waiting requests; the service continues
                for job in batch:
                    if not job.prediction.done():
                        job.prediction.set_exception(error)
                continue
            for job, prediction in zip(batch, predictions, strict=True):
                if not job.prediction.done():  # the client may have disconnected
                    job.prediction.set_result(prediction)

    async def _gather(self) -> list[Job]:
        """What has arrived while the last batch ran. There is no fixed delay, which would slow down
        a single client."""
        batch = [await self._jobs.get()]
        while len(batch) < self._limit and not self._jobs.empty():
            batch.append(self._jobs.get_nowait())
        return batch

    def _run(self, batch: list[Job]) -> list[Prediction]:
        """The predictions in the order of the batch; samples of one shape run together."""
        groups: dict[Hashable, list[int]] = defaultdict(list)
        for index, job in enumerate(batch):
            groups[batch_key(self.predictor.preprocessing, job.sample)].append(index)
        predictions: dict[int, Prediction] = {}
        for indices in groups.values():
            samples = [batch[index].sample for index in indices]
            predicted = self.predictor.predict_samples(samples, [None] * len(samples))
            predictions.update(zip(indices, predicted, strict=True))
        return [predictions[index] for index in range(len(batch))]


async def read_body(request: Request) -> bytes:
    """The body of the request; its size is checked while it arrives."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > BODY_LIMIT:
            raise InputError(f"the body has more than {BODY_LIMIT:,} bytes", code="E-IN-SIZE")
    return bytes(body)


def create_app(model: str | None = None, *, limit: int = BATCH) -> FastAPI:
    """The application for a model file, by default that of PTX_MODEL."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with load(model or os.environ["PTX_MODEL"], backend="ort-cpu") as predictor:
            app.state.batcher = Batcher(predictor, limit=limit)
            worker = asyncio.create_task(app.state.batcher.serve())
            yield
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker

    app = FastAPI(title="ptx", lifespan=lifespan)

    @app.post("/predict")
    async def predict(request: Request) -> dict[str, Any]:
        prediction = await app.state.batcher.predict(await read_body(request))
        return {"label": prediction.label, "score": prediction.score, "top": prediction.top}

    @app.get("/health")
    async def health() -> dict[str, str]:
        predictor: Predictor = app.state.batcher.predictor
        return {"model": predictor.manifest.model, "backend": predictor.backend.name}

    @app.exception_handler(InputError)
    async def refuse(request: Request, error: InputError) -> JSONResponse:
        status = 413 if error.code in TOO_LARGE else 422
        return JSONResponse({"error": error.message, "code": error.code}, status_code=status)

    return app
