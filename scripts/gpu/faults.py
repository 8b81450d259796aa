"""What may go wrong on a device, each in a process of its own: the documented code, nothing silent."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from functools import partial

from gpu_setting import Setting, run_ptx
from page import Cells, Page, SkippedError

SKIPPED = 77  # the exit code of a program that says why it cannot run here
LIMIT = 90.0  # seconds of a program
SLACK = 1e-4  # by which CUDA's answers to one input may differ: it promises no equal bits
MATMUL = "neural-network"  # products of 784×512 and 512×512, in which TF32 is used

# Each is given the ONNX file and the checkpoint; it ends with 0, or with the error's exit code.
_START = f"""
import os, sys, threading
import numpy as np
from ptx.infer import BackendError, LimitError, load
path = sys.argv[1]
def skip(reason):
    print(reason)
    sys.exit({SKIPPED})
def inputs(batch, seed=0):
    return predictor.signature.example({{"batch": batch}}, seed=seed)
def answers(predictor, batch=7, count=1):
    name = predictor.signature.outputs[0].name
    return [predictor.run(inputs(batch, seed % 8))[name] for seed in range(count)]
def distance(found, expected):
    return max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
def in_threads(count, work):
    failures = []
    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            failures.append(error)
    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    [thread.start() for thread in threads]; [thread.join() for thread in threads]
    if failures:
        raise failures[0]
"""
_FULL = """
try:
    import torch
    free, _ = torch.cuda.mem_get_info()
    taken = torch.empty(free - {left} * 2**20, dtype=torch.uint8, device="cuda")
except (ImportError, AssertionError, RuntimeError) as error:
    skip("PyTorch cannot take the memory: " + str(error).splitlines()[0])
with load(path, backend="ort-cuda") as predictor:
    predictor.run(inputs(1 << 17))
"""
_THREADS = """
with load(path, backend="ort-cuda") as predictor:
    expected, found = answers(predictor, count=1000), [0.0] * 16
    def work(number):
        found[number] = distance(answers(predictor, count=1000), expected)
    in_threads(16, work)
    print("the largest difference is", max(found))
    assert max(found) <= {slack}, found
"""
# Each thread's answers must be nearer to those of its own precision than to the other's.
_PRECISIONS = """
expected, found = {}, {}
held = {p: load(PATH, precision=p) for p in ("float32", "tf32")}
predictor = held["float32"]
for precision in held:
    expected[precision] = answers(held[precision], 64, 50)
apart = distance(expected["float32"], expected["tf32"])
assert apart > 0, "tf32 gives float32's answers"
def work(number):
    precision = list(held)[number]
    found[precision] = distance(answers(held[precision], 64, 50), expected[precision])
in_threads(2, work)
print("apart by", apart, "and each from its own by", found)
assert max(found.values()) < apart / 4, "one thread's precision reached the other"
"""
_FORK = """
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
"""
_END = """
except (BackendError, LimitError) as error:
    print(error.code, error)
    sys.exit(3 if isinstance(error, BackendError) else 6)
"""


@dataclass(frozen=True)
class _Program:
    code: str
    expected: tuple[int, ...] = (0,)  # exit codes
    model: str = "convnet"  # MATMUL: with its first weights


_PROGRAMS = {
    # Less than what CUDA's context, cuBLAS and cuDNN take for themselves: any of them may say so.
    "device memory full, all but 200 MB taken": _Program(_FULL.format(left=200), (3, 6)),
    "device memory full, all but 2 GB taken": _Program(_FULL.format(left=2048), (6,)),
    f"16 threads × 1,000 predictions are within {SLACK:g} of one thread's": _Program(
        _THREADS.format(slack=SLACK)
    ),
    "float32 and tf32 in two threads, ort-cuda": _Program(
        _PRECISIONS.replace("PATH", 'path, backend="ort-cuda"'), model=MATMUL
    ),
    "float32 and tf32 in two threads, eager": _Program(
        _PRECISIONS.replace("PATH", 'sys.argv[2], backend="eager", device="cuda"'),
        (0, 3),  # the second may be refused
        model=MATMUL,
    ),
    "fork after CUDA": _Program(_FORK),
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
    for name, program in _PROGRAMS.items():
        page.row(name, partial(_program, setting, program))


def _verb(setting: Setting, options: list[str], environment: dict[str, str]) -> Cells:
    paths = setting.paths("convnet")
    model = paths["checkpoint" if "eager" in options else "onnx"]
    done = run_ptx("predict", setting.image(), "--model", model, *options, **environment)
    return _judge(done.returncode, (3,), done.stderr or done.stdout)


def _program(setting: Setting, program: _Program) -> Cells:
    on_torch = 'backend="eager"' in program.code
    if "cuda" not in (setting.device if on_torch else setting.runtime_device):
        raise SkippedError(f"{'PyTorch' if on_torch else 'ONNX Runtime'} finds no CUDA device")
    body = "\n".join("    " + line for line in program.code.splitlines())
    code = _START + "try:\n" + body + _END
    find = setting.untrained if program.model == MATMUL else setting.paths
    files = [str(find(program.model)[kind]) for kind in ("onnx", "checkpoint")]
    done = subprocess.run(
        [sys.executable, "-c", code, *files],
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
        check=False,
    )
    return _judge(done.returncode, program.expected, done.stdout)


def _judge(code: int, expected: tuple[int, ...], said: str) -> Cells:
    if code == SKIPPED:
        raise SkippedError(said.strip())
    verdict = "holds" if code in expected else "**not as documented**"
    words = said.strip() if code in expected else _last(said)
    return code, " or ".join(map(str, expected)), verdict, words[:200]


def _last(said: str) -> str:
    """The line that names the error: of a traceback the last."""
    return (said.strip().splitlines() or [""])[-1]
