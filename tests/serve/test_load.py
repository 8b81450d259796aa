"""Many at once: batches, neighbours, overload, time limits, memory; cases 105 to 110 of the table."""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

import ptx.serve.asgi
from ptx.infer import ArtifactError, load
from ptx.serve.codec import decode_request

from .conftest import Hold, Serve, Served, binary, read_answer, request, until

PATH = "/v2/models/convnet/infer"
DIGIT = (Path(__file__).parents[1] / "pictures" / "mnist-7.png").read_bytes()


def rows(count: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).random((count, 1, 28, 28), np.float32)


def ask(served: Served, array: Any, **more: Any) -> Any:
    return served.infer(*binary(array, **more))


def together(served: Served, arrays: list[Any], events: Any) -> list[Any]:
    """The answers to requests that arrive while a run is on its way."""
    begun, free = events
    with ThreadPoolExecutor(len(arrays) + 1) as pool:
        first = pool.submit(ask, served, rows(1))
        assert begun.wait(20)
        answers = [pool.submit(served.infer, *body) for body in map(binary, arrays)]
        assert until(lambda: served.waiting == len(arrays))
        free.set()
        assert first.result(20).status == 200
        return [answer.result(20) for answer in answers]


def test_what_arrives_while_a_run_is_on_its_way_goes_in_together(
    hold: Hold, predictor: Any
) -> None:
    begun, free, sizes = threading.Event(), threading.Event(), list[int]()

    def before(inputs: Any) -> None:
        sizes.append(len(inputs["image"]))
        begun.set()
        free.wait(20)

    served = hold(before)
    arrays = [rows(2, seed) for seed in range(6)]
    answers = together(served, arrays, (begun, free))
    assert sizes == [1, 12]
    for seed, answer in enumerate(answers):
        alone = predictor.run({"image": rows(2, seed)})["logits"]
        assert np.array_equal(answer.tensor.reshape(2, 10), alone)


def test_106_a_bad_row_costs_the_others_nothing(hold: Hold, predictor: Any) -> None:
    begun, free = threading.Event(), threading.Event()

    def before(inputs: Any) -> None:
        begun.set()
        free.wait(20)
        if (inputs["image"] == 77).any():
            raise ArtifactError("output 'logits' is not finite", code="E-NONFINITE")

    served = hold(before)
    arrays = [rows(1, seed) for seed in range(63)]
    arrays.insert(30, np.full((1, 1, 28, 28), 77, np.float32))
    answers = together(served, arrays, (begun, free))
    assert Counter(answer.status for answer in answers) == {200: 63, 422: 1}
    assert answers[30].status == 422
    for seed, answer in enumerate(answers[:30]):
        expected = predictor.run({"image": rows(1, seed)})["logits"]
        assert np.array_equal(answer.tensor.reshape(1, 10), expected)


def test_a_bad_picture_costs_its_neighbours_nothing(hold: Hold, predictor: Any) -> None:
    """It is refused while the run before is still on its way."""
    begun, free = threading.Event(), threading.Event()

    def before(inputs: Any) -> None:
        begun.set()
        free.wait(20)

    served = hold(before)
    files = [DIGIT, b"none", DIGIT, DIGIT[:-20], DIGIT]
    with ThreadPoolExecutor(8) as pool:
        first = pool.submit(ask, served, rows(1))
        assert begun.wait(20)
        answers = [pool.submit(served.ask, "POST", "/predict/convnet", file) for file in files]
        assert until(lambda: served.waiting == 3)
        assert [answers[index].result(20).status for index in (1, 3)] == [422, 422]
        free.set()
        assert first.result(20).status == 200
        found = [answer.result(20) for answer in answers]
    assert [answer.status for answer in found] == [200, 422, 200, 422, 200]
    expected = predictor.predict(DIGIT).to_data()
    assert all(found[index].json == expected for index in (0, 2, 4))


def test_pictures_are_preprocessed_at_the_same_time(
    serve: Serve, predictor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the two ends only when the other has begun."""
    served = serve()
    batcher = served.batcher
    if batcher._threads < 2:
        pytest.skip("one processor preprocesses one picture at a time")
    both = threading.Barrier(2)
    preprocessing = batcher._predictor.preprocessing
    read = preprocessing.transform

    def slow(value: Any) -> Any:
        both.wait(20)
        return read(value)

    monkeypatch.setattr(preprocessing, "transform", slow)
    with ThreadPoolExecutor(2) as pool:
        answers = [pool.submit(served.ask, "POST", "/predict/convnet", DIGIT) for _ in range(2)]
        assert [answer.result(30).json for answer in answers] == [
            predictor.predict(DIGIT).to_data()
        ] * 2


@pytest.mark.parametrize("what", ["a large body", "a picture"])
def test_a_reload_loses_no_request_that_is_being_read(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Neither one whose JSON is read in a thread, nor one whose picture is decoded."""
    served = serve(reload=True)
    begun, free = threading.Event(), threading.Event()

    def delayed(function: Any) -> Any:
        def call(*arguments: Any) -> Any:
            begun.set()
            assert free.wait(20)
            return function(*arguments)

        return call

    if what == "a picture":
        preprocessing = served.batcher._predictor.preprocessing
        monkeypatch.setattr(preprocessing, "transform", delayed(preprocessing.transform))
        data = request("POST", "/predict/convnet", DIGIT)
    else:
        monkeypatch.setattr(ptx.serve.asgi, "decode_request", delayed(decode_request))
        data = request("POST", PATH, *binary(rows(100)))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.send, data)
        assert begun.wait(20)
        assert served.ask("POST", "/v2/repository/models/convnet/load").status == 200
        free.set()
        assert answer.result(20).status == 200
    served.good()


def closed_loop(served: Served, clients: int, seconds: float, body: bytes) -> Counter[int]:
    """Statuses that clients get which ask again as soon as they are answered."""
    statuses: Counter[int] = Counter()
    end = time.monotonic() + seconds

    def work() -> None:
        with served.connect() as sock:
            while time.monotonic() < end:
                sock.sendall(body)
                statuses[read_answer(sock).status] += 1

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def test_105_more_than_it_can_carry_is_refused_and_the_rest_is_served(
    hold: Hold, predictor: Any
) -> None:
    served = hold(lambda inputs: time.sleep(0.02 * len(inputs["image"])), max_wait=0.3)
    body = request("POST", PATH, *binary(rows(1)))
    few = closed_loop(served, 4, 1.5, body)
    many = closed_loop(served, 48, 3.0, body)
    assert set(few) == {200}
    assert set(many) == {200, 503}
    assert many[200] / 3.0 >= 0.6 * few[200] / 1.5  # in a quiet run at least 0.9
    assert many[503] <= 48 / 0.3 * 3.5  # nobody comes back at once
    assert until(lambda: served.batcher.idle)
    served.good()


def test_the_503_says_when_to_come_back(hold: Hold, predictor: Any) -> None:
    free = threading.Event()
    served = hold(lambda _: free.wait(20), max_wait=0.1)
    served.batcher._costs[False].mean = 5.0
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(ask, served, rows(1))
        assert until(lambda: served.batcher._running)
        answer = pool.submit(ask, served, rows(1)).result(20)
        free.set()
        assert first.result(20).status == 200
    assert answer.status == 503
    assert int(answer.headers["retry-after"]) >= 1


def test_108_a_run_that_takes_too_long_is_a_504(hold: Hold, predictor: Any) -> None:
    free = threading.Event()
    served = hold(lambda _: free.wait(20), timeout=0.3, max_wait=0.1)
    assert served.infer(*binary(rows(1))).status == 504
    assert served.infer(*binary(rows(1))).status == 503  # while the run holds the model
    assert served.ask("GET", "/v2/health/live").status == 200
    free.set()
    assert until(lambda: served.batcher.idle)
    served.good()


def test_a_requests_own_timeout_is_heeded(hold: Hold, predictor: Any) -> None:
    free = threading.Event()
    served = hold(lambda _: free.wait(20))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, served, rows(1))
        assert until(lambda: served.batcher._running)
        parameters = {"binary_data_output": True, "timeout": 1000}
        second = pool.submit(ask, served, rows(1), parameters=parameters)
        assert until(lambda: served.waiting == 1)
        time.sleep(0.05)
        free.set()
        assert first.result(20).status == 200
        assert second.result(20).status == 504


@pytest.mark.parametrize("error", [ValueError("secret /etc/passwd"), SystemExit(3)])
def test_a_predictor_that_fails_is_a_500_that_tells_nothing(
    hold: Hold, predictor: Any, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    failing = [True]

    def before(inputs: Any) -> None:
        if failing:
            raise error

    served = hold(before)
    answer = served.infer(*binary(rows(1)))
    assert answer.status == 500
    assert "passwd" not in answer.json["error"]
    assert "a request failed" in caplog.text
    failing.clear()
    served.good()


def memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_109_requests_leave_nothing_behind(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
    body, headers = binary(rows(1))

    def ask(count: int) -> None:
        for _ in range(count):
            connection.request("POST", PATH, body, headers)
            assert connection.getresponse().read()

    ask(300)
    before = memory()
    ask(1500)
    assert memory() - before < 2 * 2**20
    assert served.service.memory.used == 0
    connection.close()


def test_110_large_json_does_not_stop_the_others(serve: Serve) -> None:
    served = serve(max_batch=2000, max_json=10 * 2**20)
    numbers = np.round(rows(1100).astype(np.float64), 6).ravel().tolist()
    body = orjson.dumps(
        {
            "inputs": [
                {"name": "image", "shape": [1100, 1, 28, 28], "datatype": "FP32", "data": numbers}
            ]
        }
    )
    assert 7 * 2**20 < len(body) < 9 * 2**20
    waits = []
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(served.infer, body)
        while not answer.done():
            started = time.perf_counter()
            assert served.ask("GET", "/v2/health/live").status == 200
            waits.append(time.perf_counter() - started)
        assert answer.result().status == 200
    assert sorted(waits)[len(waits) // 2] < 0.05


def test_every_answer_is_the_one_of_predict(served: Served, artifact: Any) -> None:
    """16 clients, each with its own rows, at the same time."""
    with load(artifact("convnet", "onnx"), backend="ort-cpu") as predictor:
        expected = {
            seed: predictor.run({"image": rows(1 + seed % 3, seed)})["logits"] for seed in range(64)
        }

    def client(number: int) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        wrong = 0
        for turn in range(40):
            seed = (number * 7 + turn) % 64
            body, headers = binary(rows(1 + seed % 3, seed))
            connection.request("POST", PATH, body, headers)
            response = connection.getresponse()
            size = int(response.headers["Inference-Header-Content-Length"])
            found = np.frombuffer(response.read()[size:], "<f4").reshape(-1, 10)
            wrong += not np.array_equal(found, expected[seed])
        connection.close()
        return wrong

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(client, range(16))) == 0
