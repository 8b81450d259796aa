"""What is loaded when: prediction needs no torch, and nothing is written into the home folder."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Child = Callable[..., subprocess.CompletedProcess[str]]
Export = Callable[[str, str], Path]

LOADED = """
import sys
def loaded(*names):
    return sorted(name for name in names if name in sys.modules)
"""


def test_importing_infer_loads_no_heavy_library(child: Child) -> None:
    done = child(
        LOADED + "import ptx.infer\n"
        "print(loaded('torch', 'torchvision', 'onnx', 'onnxruntime', 'matplotlib', 'PIL.Image',"
        " 'ptx.models', 'ptx.trainers', 'ptx.export'))"
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize("value", ["4.0", "picture"])
def test_predicting_from_onnx_loads_no_torch(
    child: Child, artifact: Export, tmp_path: Path, value: str
) -> None:
    if value == "picture":
        import numpy as np
        from PIL import Image

        drawn = np.zeros((28, 28), np.uint8)
        drawn[4:24, 12:16] = 255
        value = str(tmp_path / "one.png")
        Image.fromarray(drawn).save(value)
    path = artifact("linear-model" if value == "4.0" else "softmax-regression", "onnx")
    done = child(
        LOADED + "from ptx.infer import load\n"
        "with load(sys.argv[1], backend='ort-cpu') as predictor:\n"
        "    prediction = predictor.predict(sys.argv[2])\n"
        "assert prediction.value is not None or prediction.label\n"
        "print(loaded('torch', 'torchvision', 'onnx', 'matplotlib', 'ptx.models'))",
        path,
        value,
    )
    assert done.stdout == "[]\n"


def test_prediction_works_where_torch_and_onnx_cannot_be_imported(
    child: Child, artifact: Export
) -> None:
    child(
        "import sys\n"
        "for name in ('torch', 'torchvision', 'onnx', 'onnxscript', 'matplotlib', 'tqdm', 'click'):\n"
        "    sys.modules[name] = None\n"
        "from ptx.infer import load, verify\n"
        "assert load(sys.argv[1]).predict(4).backend.startswith('ort-')\n"
        "assert all(check.passed for check in verify(sys.argv[1]))",
        artifact("linear-model", "onnx"),
    )


@pytest.mark.parametrize(
    ("missing", "path", "message"),
    [
        ("onnxruntime", "onnx", "ONNX Runtime is not installed: pip install 'ptx-toolkit[cpu]'"),
        ("torch", "torchscript", "PyTorch is not installed: pip install 'ptx-toolkit[train]'"),
    ],
)
def test_a_missing_library_is_named_with_the_way_to_get_it(
    child: Child, artifact: Export, missing: str, path: str, message: str
) -> None:
    done = child(
        f"import sys\nsys.modules['{missing}'] = None\n"
        "from ptx.infer import BackendError, load\n"
        "try:\n    load(sys.argv[1], trust=True)\n"
        "except BackendError as error:\n    print(error.exit_code, error)",
        artifact("linear-model", path),
    )
    assert done.stdout.startswith(f"3 {message}")


def test_nothing_is_written_into_the_home_folder(
    child: Child, artifact: Export, tmp_path: Path
) -> None:
    import os

    clean = {name: value for name, value in os.environ.items() if not name.startswith("ORT_")}
    done = child(
        "import os, sys\n"
        "from ptx.infer import load\n"
        "assert 'ORT_DISABLE_TELEMETRY' not in os.environ\n"
        "load(sys.argv[1], backend='ort-cpu').predict(4)\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])",
        artifact("linear-model", "onnx"),
        env={**clean, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert done.stdout == "1\n"
    assert list(tmp_path.iterdir()) == []


def test_the_user_s_word_on_telemetry_stands(child: Child) -> None:
    import os

    done = child(
        "import os\n"
        "from ptx.infer.backends.ort.cpu import import_onnxruntime\n"
        "import_onnxruntime()\n"
        "print(os.environ['ORT_DISABLE_TELEMETRY'])",
        env={**os.environ, "ORT_DISABLE_TELEMETRY": "yes"},
    )
    assert done.stdout == "yes\n"
