"""What may go wrong on a device, each in a process of its own: the documented code, nothing silent."""

from __future__ import annotations

import subprocess
import sys
from functools import partial

from gpu_setting import Setting, run_ptx
from page import Cells, Page

# Each is given the ONNX file and the checkpoint; it ends with 0, or with the error's exit code.
_START = """
import os, sys, threading
import numpy as np
from ptx.infer import BackendError, LimitError, load
path = sys.argv[1]
CPU = {"backend": "ort-cpu"}
def inputs(batch, seed=0):
    return predictor.signature.example({"batch": batch}, seed=seed)
def answers(predictor, batch=7, count=1):
    name = predictor.signature.outputs[0].name
    return [predictor.run(inputs(batch, seed % 8))[name].tobytes() for seed in range(count)]
"""
_PROGRAMS = {
    "device memory full, all but 200 MB taken": """
import torch
free, _ = torch.cuda.mem_get_info()
taken = torch.empty(free - 200 * 2**20, dtype=torch.uint8, device="cuda")
with load(path, backend="ort-cuda") as predictor:
    predictor.run(inputs(1 << 17))
""",
    "16 threads × 1,000 predictions equal one thread's": """
with load(path, backend="ort-cuda") as predictor:
    expected, found = answers(predictor, count=1000), [None] * 16
    def work(number):
        found[number] = answers(predictor, count=1000) == expected
    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    [thread.start() for thread in threads]; [thread.join() for thread in threads]
    assert found == [True] * 16, found
""",
    "float32 and tf32 in two threads, ort-cuda": """
expected, found = {}, {}
held = {p: load(path, backend="ort-cuda", precision=p) for p in ("float32", "tf32")}
predictor = held["float32"]
for precision in held:
    expected[precision] = answers(held[precision], 64, 50)
assert expected["float32"] != expected["tf32"], "tf32 gives float32's bits"
def work(precision):
    found[precision] = answers(held[precision], 64, 50)
threads = [threading.Thread(target=work, args=(p,)) for p in held]
[thread.start() for thread in threads]; [thread.join() for thread in threads]
assert found == expected, "one thread's precision reached the other"
""",
    "fork after CUDA": """
with load(path, backend="ort-cuda") as predictor:
    answers(predictor)
    child = os.fork()
    if child == 0:
        try:
            answers(predictor)
            os._exit(0)
        except BackendError as error:
            os._exit(3 if error.code == "E-FORK" else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    print("the child ends with", status)
    sys.exit(0 if status == 3 else 1)
""",
}
_PROGRAMS["float32 and tf32 in two threads, eager"] = _PROGRAMS[
    "float32 and tf32 in two threads, ort-cuda"
].replace('path, backend="ort-cuda"', 'sys.argv[2], backend="eager", device="cuda"')
_TWO = """
with load(path, backend="ort-cuda") as predictor:
    import hashlib
    print(hashlib.sha256(b"".join(answers(predictor, 64, 200))).hexdigest())
"""
_END = """
except (BackendError, LimitError) as error:
    print(error.code, error)
    sys.exit(3 if isinstance(error, BackendError) else 6)
"""
_EXPECTED = {  # else 0
    "device memory full, all but 200 MB taken": (3, 6),
    "float32 and tf32 in two threads, eager": (0, 3),  # the second may be refused
}


def measure(page: Page, setting: Setting) -> None:
    page.section("Faults", "what", "exit code", "expected", "", "said")
    if "convnet" not in setting.models:
        return
    for name, options, environment in (
        ("no driver", ["--backend", "ort-cuda"], {"CUDA_VISIBLE_DEVICES": ""}),
        (
            "no driver, eager",
            ["--backend", "eager", "--device", "cuda"],
            {"CUDA_VISIBLE_DEVICES": ""},
        ),
        ("no such index", ["--backend", "ort-cuda", "--device", "cuda:99"], {}),
        ("no such index, eager", ["--backend", "eager", "--device", "cuda:99"], {}),
    ):
        page.row(name, partial(_verb, setting, options, environment))
    page.row("two processes on one device", partial(_two, setting))
    for name, program in _PROGRAMS.items():
        page.row(name, partial(_program, setting, name, program))


def _verb(setting: Setting, options: list[str], environment: dict[str, str]) -> Cells:
    paths = setting.paths("convnet")
    model = paths["checkpoint" if "eager" in options else "onnx"]
    picture = next((setting.folder / "pictures").iterdir())
    done = run_ptx("predict", picture, "--model", model, *options, **environment)
    return _judge(done.returncode, (3,), done.stderr or done.stdout)


def _start(setting: Setting, program: str) -> subprocess.Popen[str]:
    body = "\n".join("    " + line for line in program.splitlines())
    code = _START + "try:\n" + body + _END
    files = [str(setting.paths("convnet")[kind]) for kind in ("onnx", "checkpoint")]
    return subprocess.Popen([sys.executable, "-c", code, *files], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip


def _program(setting: Setting, name: str, program: str) -> Cells:
    process = _start(setting, program)
    said, _ = process.communicate(timeout=90)
    return _judge(process.returncode, _EXPECTED.get(name, (0,)), said)


def _two(setting: Setting) -> Cells:
    processes = [_start(setting, _TWO) for _ in range(2)]
    said = [process.communicate(timeout=90)[0] for process in processes]
    code = max(process.returncode for process in processes)
    return _judge(code if said[0] == said[1] else 1, (0,), said[0])


def _judge(code: int, expected: tuple[int, ...], said: str) -> Cells:
    import torch

    verdict = "holds" if code in expected else "**not as documented**"
    if code not in expected and not torch.cuda.is_available():
        verdict = "no CUDA device: unproven"
    return code, " or ".join(map(str, expected)), verdict, said.strip()[:200]
