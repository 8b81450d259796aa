"""The programs of docs/examples, each run. What needs a tool that is not here is skipped and says why;
scripts/setup/example_tools fetches what it can, so that the tests themselves need no network.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ptx.infer import InputError, Prediction, Predictor, load

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "docs" / "examples"
EMBEDDING = ROOT / "docs" / "guide" / "embedding.md"
TOOLS = ROOT / ".cache" / "examples"  # made by scripts/setup/example_tools
DIGITS = 5  # pictures that an example answers for


def example(name: str) -> ModuleType:
    """A program of docs/examples as a module."""
    spec = spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses and FastAPI look annotations up
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def model(workspace: Path) -> Path:
    return workspace / "convnet" / "convnet.onnx"


@pytest.fixture(scope="module")
def pixel_model(workspace: Path, ptx: Callable[..., Any]) -> Path:
    """The same with pixels as its inputs, which the programs without Python take."""
    done = ptx("export", "convnet", "--embed-preprocessing", "--workspace", workspace)
    assert done.code == 0, done.err
    return workspace / "convnet" / "convnet.pixels.onnx"


@pytest.fixture
def predictor(model: Path) -> Iterator[Predictor]:
    with load(model, backend="ort-cpu", threads=1) as opened:
        yield opened


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of MNIST's test set, as PGM."""
    folder = tmp_path_factory.mktemp("digits")
    with np.load(ROOT / "trainers" / "bundled" / "mnist.npz") as archive:
        pixels = archive["test_images"][:DIGITS]
    paths = [folder / f"{index}.pgm" for index in range(DIGITS)]
    for path, picture in zip(paths, pixels, strict=True):
        Image.fromarray(picture).save(path)
    return paths


def lines(predictor: Predictor, digits: list[Path]) -> list[str]:
    """What the Node and the C++ program must print, by ptx itself."""
    answers = predictor.predict_many(digits)
    return [f"{answer.input}: {answer.label} ({answer.score:.4f})" for answer in answers]


def test_the_script_answers_the_good_and_names_the_bad(
    model: Path, seven: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = example("script").main([str(model), str(seven), "missing.png"])
    out, err = capsys.readouterr()
    assert code == 4
    assert out.startswith(f"{seven}: 7 (")
    assert err.startswith("missing.png: ")


def test_the_thread_pool_answers_as_one_thread_does(
    predictor: Predictor, digits: list[Path]
) -> None:
    names = [str(path) for path in digits] * 4 + ["missing.png"]
    answers = list(example("thread_pool").predictions(predictor, names))
    assert [name for name, _ in answers] == names
    assert isinstance(answers[-1][1], InputError)
    alone = [predictor.predict(name) for name in names[:-1]]
    assert [answer for _, answer in answers[:-1]] == alone


def service(model: Path, check: Callable[[Any, Any], Any], **options: Any) -> None:
    """Run `check(app, client)` against the service while it is up."""
    httpx = pytest.importorskip("httpx", reason="httpx is not installed (extra dev)")
    pytest.importorskip("fastapi", reason="FastAPI is not installed (extra dev)")

    async def serve() -> None:
        app = example("service").create_app(str(model), **options)
        transport = httpx.ASGITransport(app=app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://service") as client,
        ):
            await check(app, client)

    asyncio.run(serve())


def test_the_service_predicts_requests_that_meet_in_one_batch(
    model: Path, predictor: Predictor, digits: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    run = Predictor.predict_samples

    def counted(self: Predictor, samples: Any, *rest: Any, **options: Any) -> list[Prediction]:
        sizes.append(len(samples))
        time.sleep(0.5)  # in which the others arrive
        return run(self, samples, *rest, **options)

    async def check(app: Any, client: Any) -> None:
        requests = [client.post("/predict", content=path.read_bytes()) for path in digits]
        answers = await asyncio.gather(*requests)
        assert [answer.json()["label"] for answer in answers] == expected
        assert (await client.get("/health")).json() == {"model": "convnet", "backend": "ort-cpu"}

    expected = [predictor.predict(path).label for path in digits]
    monkeypatch.setattr(Predictor, "predict_samples", counted)
    service(model, check, limit=DIGITS)
    assert sum(sizes) == DIGITS
    assert len(sizes) <= 3


def test_the_service_answers_one_request_that_meets_no_other(model: Path, seven: Path) -> None:
    async def check(app: Any, client: Any) -> None:
        answer = await client.post("/predict", content=seven.read_bytes())
        assert answer.status_code == 200
        assert answer.json()["label"] == "7"
        assert len(answer.json()["top"]) == 3

    service(model, check)


def test_the_service_refuses_a_bad_picture_with_its_message_and_lives_on(
    model: Path, seven: Path
) -> None:
    async def check(app: Any, client: Any) -> None:
        bad = await client.post("/predict", content=b"no picture")
        assert bad.status_code == 422
        assert bad.json()["code"] == "E-IMG-FORMAT"
        assert "expected" in bad.json()["error"] or "accepted" in bad.json()["error"]
        large = await client.post("/predict", content=bytes(11 * 2**20))
        assert large.status_code == 413
        assert large.json()["code"] == "E-IN-SIZE"
        good = await client.post("/predict", content=seven.read_bytes())
        assert good.status_code == 200

    service(model, check)


def test_an_error_of_a_batch_reaches_its_request_and_the_service_lives_on(
    model: Path, seven: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(app: Any, client: Any) -> None:
        with monkeypatch.context() as broken:
            broken.setattr(Predictor, "predict_samples", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                await client.post("/predict", content=seven.read_bytes())
        assert (await client.post("/predict", content=seven.read_bytes())).status_code == 200

    service(model, check)


SEVEN = [[(70, 60), (130, 60), (210, 60), (170, 140), (130, 230)]]


def tkinter_or_skip() -> ModuleType:
    module: ModuleType = pytest.importorskip(
        "tkinter", reason="this Python has no tkinter (on Debian it is python3-tk)"
    )
    return module


def test_the_window_reads_what_is_drawn(predictor: Predictor) -> None:
    tkinter_or_skip()
    window = example("window")
    assert window.describe(predictor, SEVEN).startswith("7: ")
    assert "blank" in window.describe(predictor, [])


@pytest.fixture
def display() -> Iterator[str]:
    """A screen in memory."""
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed: the window itself is not opened")
    reading, writing = os.pipe()
    command = ["Xvfb", "-displayfd", str(writing), "-screen", "0", "640x480x24"]
    process = subprocess.Popen(command, pass_fds=[writing], stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        with os.fdopen(reading) as number:
            yield f":{number.readline().strip()}"
    finally:
        process.terminate()
        process.wait()


def test_the_window_answers_for_a_digit_drawn_with_the_mouse(
    display: str, predictor: Predictor
) -> None:
    tkinter = tkinter_or_skip()
    root = tkinter.Tk(screenName=display)
    try:
        window = example("window").Window(root, predictor)
        root.update()
        (first, *others), *_ = SEVEN
        window.paper.event_generate("<Button-1>", x=first[0], y=first[1])
        for x, y in others:
            window.paper.event_generate("<B1-Motion>", x=x, y=y, state=0x100)
        window.paper.event_generate("<ButtonRelease-1>", x=x, y=y)
        root.update()
        assert window.text.get().startswith("7: ")
        window.clear()
        assert window.text.get() == "draw a digit"
        assert window.strokes == []
    finally:
        root.destroy()


def test_the_cells_of_the_notebook_run(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = json.loads((EXAMPLES / "digits.ipynb").read_text())
    (tmp_path / "runs").symlink_to(workspace)
    (tmp_path / "tests").symlink_to(ROOT / "tests")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        exec("".join(cell["source"]), names)
    assert names["prediction"].label == "7"
    assert all(cell["outputs"] for cell in cells[1:]), "run scripts/examples --notebook"


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
@pytest.mark.skipif(
    not (TOOLS / "node_modules" / "onnxruntime-node").exists(),
    reason="onnxruntime-node is not there: scripts/test and scripts/examples fetch it with npm",
)
def test_the_node_program_answers_as_ptx_does(
    pixel_model: Path, predictor: Predictor, digits: list[Path], seven: Path, tmp_path: Path
) -> None:
    shutil.copy(EXAMPLES / "predict.mjs", tmp_path)  # Node looks for modules beside the program
    (tmp_path / "node_modules").symlink_to(TOOLS / "node_modules")
    command = ["node", str(tmp_path / "predict.mjs"), str(pixel_model)]
    done = subprocess.run([*command, *map(str, digits)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == lines(predictor, digits)
    bad = subprocess.run([*command, str(seven)], capture_output=True, text=True, check=False)
    assert bad.returncode == 1
    assert "expected a binary PGM of 28×28 pixels" in bad.stderr


@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.skipif(
    "ONNXRUNTIME" not in os.environ,
    reason="ONNXRUNTIME names no release of ONNX Runtime with its C++ headers",
)
@pytest.mark.skipif(
    not Path("/usr/include/nlohmann/json.hpp").exists(),
    reason="nlohmann-json3-dev is not installed",
)
def test_the_cpp_program_answers_as_ptx_does(
    pixel_model: Path, predictor: Predictor, digits: list[Path], seven: Path, tmp_path: Path
) -> None:
    release, program = Path(os.environ["ONNXRUNTIME"]).resolve(), tmp_path / "predict"
    subprocess.run(
        [
            "g++",
            "-std=c++17",
            "-Wall",
            "-Wextra",
            "-Werror",
            str(EXAMPLES / "predict.cpp"),
            f"-I{release / 'include'}",
            f"-L{release / 'lib'}",
            "-lonnxruntime",
            "-o",
            str(program),
        ],
        check=True,
    )
    environment = {**os.environ, "LD_LIBRARY_PATH": str(release / "lib")}

    def run(*pictures: Path) -> subprocess.CompletedProcess[str]:
        command = [str(program), str(pixel_model), *map(str, pictures)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    done = run(*digits)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == lines(predictor, digits)
    bad = run(seven)
    assert bad.returncode == 1
    assert "expected a binary PGM of 28x28 pixels" in bad.stderr


def test_the_pages_name_every_example() -> None:
    page = EMBEDDING.read_text() + (ROOT / "docs" / "how-to" / "scale.md").read_text()
    for path in EXAMPLES.iterdir():
        if path.is_file():
            assert f"(../examples/{path.name})" in page, path.name


def test_what_the_page_quotes_stands_in_a_program() -> None:
    page = EMBEDDING.read_text()
    programs = [
        path.read_text() for path in EXAMPLES.iterdir() if path.suffix in {".py", ".mjs", ".cpp"}
    ]
    quotes = re.findall(r"```\w+\n(.*?)```", page, re.DOTALL)
    assert len(quotes) > 5
    for quote in quotes[1:]:  # the first is the line that every program has its form of
        lines = [line.strip() for line in quote.splitlines()]
        flat = ["\n".join(line.strip() for line in text.splitlines()) for text in programs]
        assert any("\n".join(lines) in text for text in flat), quote
