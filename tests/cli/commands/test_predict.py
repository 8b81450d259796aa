"""ptx predict"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageDraw

from ptx.infer.backends import BACKENDS

# The page's engine reads a format of its own, which `--format all` leaves out.
CPU = [name for name in BACKENDS if name not in ("ort-cuda", "javascript")]


@pytest.mark.parametrize("backend", CPU)
def test_every_backend_recognises_a_dark_digit_on_paper(
    ptx: Any, workspace: Path, seven: Path, backend: str
) -> None:
    done = ptx("predict", seven, "--backend", backend, "--workspace", workspace, "--json")
    answer = json.loads(done.out)
    assert done.code == 0
    assert answer["label"] == "7"
    assert (answer["model"], answer["backend"], answer["input"]) == ("convnet", backend, str(seven))
    assert answer["top"][0] == {"label": "7", "score": answer["score"]}


def test_auto_prints_its_choice_on_stderr(ptx: Any, workspace: Path, seven: Path) -> None:
    done = ptx("predict", seven, "--workspace", workspace)
    assert "backend ort-cpu on cpu" in done.err
    assert done.out.startswith(f"{seven}: 7 (")


def test_ort_cuda_without_a_driver_is_exit_3_without_a_prediction(
    ptx: Any, workspace: Path, seven: Path
) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device here")
    done = ptx("predict", seven, "--backend", "ort-cuda", "--workspace", workspace)
    assert done.code == 3
    assert done.out == ""
    assert done.err.count("\n") == 1
    assert "use --backend ort-cpu or --backend auto" in done.err


def letter(path: Path) -> Path:
    """An A on paper."""
    sheet = Image.new("L", (300, 300), 240)
    ImageDraw.Draw(sheet).line(
        [(80, 230), (150, 60), (220, 230), (196, 170), (104, 170)], fill=20, width=16
    )
    sheet.save(path)
    return path


def test_a_letter_gets_a_prediction_with_low_confidence_on_stderr(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    arguments = letter(tmp_path / "a.png")
    done = ptx("predict", arguments, seven, "--json", "--workspace", workspace)
    assert done.code == 0
    assert f"ptx: {arguments}: low confidence" in done.err
    assert done.err.count("low confidence") == 1  # and none of the seven
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [answer["low_confidence"] for answer in answers] == [True, False]
    keys = {"input", "label", "score", "top", "low_confidence", "model", "backend"}
    assert [set(answer) for answer in answers] == 2 * [keys]


def make_bad(folder: Path, seven: Path) -> dict[str, str]:
    """Inputs that cannot be used → the code of their error."""
    data = seven.read_bytes()
    (folder / "cut.png").write_bytes(data[: len(data) // 2])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_text("this is no picture")
    (folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(folder / "fifo.png")
    return {
        "cut.png": "E-IMG-TRUNCATED",
        "empty.png": "E-IMG-EMPTY",
        "text.png": "E-IMG-FORMAT",
        "loop.png": "E-IN-LOOP",
        "fifo.png": "E-IN-NOTFILE",
        "missing.png": "E-IN-MISSING",
    }


def test_valid_inputs_among_many_are_predicted_in_order(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    bad = make_bad(tmp_path, seven)
    arguments = [seven, *(tmp_path / name for name in bad), seven]
    done = ptx("predict", *arguments, "--workspace", workspace, "--json")
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 4
    assert [answer["input"] for answer in answers] == [str(path) for path in arguments]
    assert [answer.get("code") for answer in answers] == [None, *bad.values(), None]
    assert answers[0]["label"] == answers[-1]["label"] == "7"


def test_an_invalid_input_has_one_line_on_stderr(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    bad = make_bad(tmp_path, seven)
    done = ptx("predict", *(tmp_path / name for name in bad), "--workspace", workspace)
    lines = [line for line in done.err.splitlines() if line.startswith("ptx: error")]
    assert done.code == 4
    assert done.out == ""
    for line, (name, code) in zip(lines, bad.items(), strict=True):
        assert f"[{code}]" in line
        assert name in line


def test_a_file_without_permission_is_exit_4(
    workspace: Path, seven: Path, open_folder: Path, child: Any
) -> None:
    target = open_folder / "secret.png"
    target.write_bytes(b"x")
    target.chmod(0)
    model = open_folder / "convnet.onnx"
    shutil.copy(workspace / "convnet" / "convnet.onnx", model)
    model.chmod(0o644)
    code = (
        "import sys\nfrom ptx.cli.main import _run\n"
        "secret, seven, model = sys.argv[1:]\n"
        "def predict(path):\n"
        "    sys.argv = ['ptx', 'predict', path, '--model', model, '--backend', 'ort-cpu']\n"
        "    return _run()\n"
        "assert predict(seven) == 0\n"  # and everything has been imported
        "drop_rights()\n"
        "sys.exit(predict(secret))"
    )
    done = child(code, target, seven, model, check=False)
    assert done.returncode == 4
    assert "[E-IN-PERM]" in done.stderr
    assert "Traceback" not in done.stderr


def test_folders_and_globs_yield_their_images_in_order(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    for name in ("b.png", "a.png", "notes.txt"):
        shutil.copy(seven, tmp_path / name)
    expected = [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    for arguments in (tmp_path, f"{tmp_path}/*.png"):
        done = ptx("predict", arguments, "--workspace", workspace, "--json")
        assert [json.loads(line)["input"] for line in done.out.splitlines()] == expected


def test_standard_input_is_one_image(ptx: Any, workspace: Path, seven: Path) -> None:
    done = ptx("predict", "-", "--workspace", workspace, "--json", stdin=seven.read_bytes())
    answer = json.loads(done.out)
    assert (answer["input"], answer["label"]) == ("-", "7")


def test_each_row_of_an_npy_file_is_an_input(ptx: Any, workspace: Path, tmp_path: Path) -> None:
    picture = np.asarray(Image.open(Path(__file__).parents[2] / "pictures" / "mnist-7.png"))
    np.save(tmp_path / "digits.npy", np.stack([picture, picture]))
    done = ptx("predict", tmp_path / "digits.npy", "--workspace", workspace, "--json")
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [answer["label"] for answer in answers] == ["7", "7"]
    assert answers[1]["input"].endswith("digits.npy[1]")


def test_numbers_are_values_lines_and_tables(ptx: Any, workspace: Path, tmp_path: Path) -> None:
    table = tmp_path / "numbers.csv"
    table.write_text("x\n4.0\n-1\n")
    options = ["--model", "linear-model", "--workspace", workspace, "--json"]
    value = json.loads(ptx("predict", "4.0", *options).out)["value"]
    assert abs(value - 8) < 0.5
    from_table = [json.loads(line) for line in ptx("predict", table, *options).out.splitlines()]
    assert from_table[0]["value"] == value
    assert from_table[0]["input"].endswith("numbers.csv, line 2")
    lines = ptx("predict", "-", *options, stdin=b"4.0\n\n-1\n").out.splitlines()
    assert [json.loads(line)["value"] for line in lines] == [item["value"] for item in from_table]


def test_an_input_that_is_not_a_number_is_refused(ptx: Any, workspace: Path) -> None:
    done = ptx("predict", "four", "--model", "linear-model", "--workspace", workspace)
    assert done.code == 4
    assert "'four' is not a number" in done.err


def test_output_has_one_line_per_input(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    target = tmp_path / "answers.jsonl"
    done = ptx("predict", seven, seven, "--workspace", workspace, "--output", target)
    assert done.out == f"{target}: 2 predictions, 0 inputs that cannot be used\n"
    assert [json.loads(line)["label"] for line in target.read_text().splitlines()] == ["7", "7"]


def test_one_prediction_is_singular(ptx: Any, workspace: Path, seven: Path, tmp_path: Path) -> None:
    arguments = (seven, tmp_path / "missing.png", "--output", tmp_path / "answers.txt")
    done = ptx("predict", *arguments, "--workspace", workspace)
    assert "1 prediction, 1 input that cannot be used\n" in done.out


def test_a_long_name_is_shortened_only_in_messages(
    ptx: Any, workspace: Path, tmp_path: Path
) -> None:
    table = tmp_path / f"{'n' * 240}.csv"
    table.write_text("4.0\nfour\n")
    done = ptx("predict", table, "--model", "linear-model", "--workspace", workspace)
    assert str(table) in done.out
    assert len(done.err.splitlines()[-1]) < 450
    done = ptx("predict", "4.0", "--model", "m" * 5000, "--workspace", workspace)
    assert done.code == 2
    assert "…" in done.err
    assert len(done.err) < 700


def test_an_output_that_cannot_be_written_is_exit_5_before_any_work(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    for target in (tmp_path, tmp_path / "missing" / "answers.txt"):
        done = ptx("predict", seven, "--workspace", workspace, "--output", target)
        assert done.code == 5
        assert "backend" not in done.err


def test_top_ranks_the_labels(ptx: Any, workspace: Path, seven: Path) -> None:
    done = ptx("predict", seven, "--top", 3, "--workspace", workspace)
    assert done.out.count("%") == 3


def test_a_missing_artifact_names_the_two_commands(ptx: Any, tmp_path: Path, seven: Path) -> None:
    done = ptx("predict", seven, "--workspace", tmp_path)
    assert done.code == 4
    arguments = f"--workspace {tmp_path}"
    assert (
        f"`ptx train convnet {arguments}` and then `ptx export convnet --format onnx {arguments}`"
        in done.err
    )


def test_a_missing_artifact_of_a_trained_model_names_only_the_export(
    ptx: Any, checkpoint: Callable[[str], Path], tmp_path: Path, seven: Path
) -> None:
    (tmp_path / "convnet").mkdir()
    shutil.copy(checkpoint("convnet"), tmp_path / "convnet" / "checkpoint.pt")
    done = ptx("predict", seven, "--backend", "ort-cpu", "--workspace", tmp_path)
    assert done.code == 4
    assert f"create it with `ptx export convnet --format onnx --workspace {tmp_path}`" in done.err


def test_a_wrong_model_name_suggests_the_nearest(ptx: Any, tmp_path: Path, seven: Path) -> None:
    done = ptx("predict", seven, "--model", "convet", "--workspace", tmp_path)
    assert done.code == 2
    assert "did you mean 'convnet'" in done.err


def test_a_damaged_artifact_is_exit_4(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    for suffix in ("onnx", "torchscript", "pt2"):
        data = bytearray((workspace / "convnet" / f"convnet.{suffix}").read_bytes())
        data[len(data) // 2] ^= 1
        path = tmp_path / f"damaged.{suffix}"
        path.write_bytes(data)
        done = ptx("predict", seven, "--model", path, "--workspace", workspace)
        assert done.code == 4, suffix
        assert done.err.count("\n") == 1
        assert done.out == ""


def test_a_name_with_a_newline_stays_on_one_line(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a\nb.png"
    shutil.copy(seven, path)
    done = ptx("predict", path, "--workspace", workspace)
    assert done.out.count("\n") == 1
    assert "a\\nb.png: 7" in done.out


def test_valid_rows_of_a_table_are_predicted(ptx: Any, workspace: Path, tmp_path: Path) -> None:
    table = tmp_path / "numbers.csv"
    table.write_text("x\n4.0\nabc\n1,2\nnan\n4.0\n")
    options = ("--model", "linear-model", "--workspace", workspace, "--json")
    done = ptx("predict", table, *options)
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 4
    assert ["value" in answer for answer in answers] == [True, False, False, False, True]
    for answer, line in zip(answers, range(2, 7), strict=True):
        assert answer["input"].endswith(f"numbers.csv, line {line}")


def test_the_inputs_of_a_table_of_names_are_its_first_column(
    ptx: Any, artifact: Any, tmp_path: Path
) -> None:
    table = tmp_path / "names.csv"
    table.write_text('name,language\nSatoshi,Japanese\n"O\'Brien, Jr",Irish\n')
    model = artifact("name-classifier", "onnx")
    done = ptx("predict", table, "Satoshi", "O'Brien, Jr", "--model", model, "--json")
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert [answer["label"] for answer in answers[:2]] == [a["label"] for a in answers[2:]]
    assert [answer["score"] for answer in answers[:2]] == pytest.approx(
        [answer["score"] for answer in answers[2:]], abs=1e-6
    )
    (tmp_path / "names.txt").write_text("Satoshi")
    done = ptx("predict", tmp_path / "names.txt", "--model", model)
    assert done.code == 4
    assert "expected a .csv or .npy file" in done.err


COUNTED = """
from ptx.infer import prefetch
entered, original = [], prefetch.decoder_processes
prefetch.decoder_processes = lambda *arguments, **how: entered.append(1) or original(*arguments, **how)
from ptx.cli.main import _run
code = _run()
print(code, len(entered))
"""


@pytest.mark.parametrize(("count", "processes"), [(1, 0), (4, 0), (5, 1)])
def test_a_few_large_images_are_prefetched_in_order(
    workspace: Path, seven: Path, tmp_path: Path, child: Any, count: int, processes: int
) -> None:
    large = [tmp_path / f"{number}.png" for number in range(count)]
    for picture in large:  # 2 MB behind the end of a small one
        picture.write_bytes(seven.read_bytes() + bytes(2_000_000))
    done = child(
        COUNTED,
        "predict",
        *large,
        "--workspace",
        workspace,
        "--json",
        "--backend",
        "ort-cpu",
    )
    *lines, last = done.stdout.splitlines()
    assert last == f"0 {processes if sys.platform == 'linux' else 0}"
    assert [json.loads(line)["input"] for line in lines] == [str(picture) for picture in large]


def test_many_images_are_prefetched_in_order(
    workspace: Path, seven: Path, tmp_path: Path, child: Any
) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(150):
        name = folder / f"{number:03}.png"
        name.write_bytes(b"no picture" if number % 50 == 7 else seven.read_bytes())
    done = child(
        COUNTED,
        "predict",
        folder,
        "--workspace",
        workspace,
        "--json",
        "--backend",
        "ort-cpu",
    )
    *lines, last = done.stdout.splitlines()
    assert last == ("4 1" if sys.platform == "linux" else "4 0")
    answers = [json.loads(line) for line in lines]
    assert [Path(answer["input"]).stem for answer in answers] == [f"{n:03}" for n in range(150)]
    assert ["error" in answer for answer in answers] == [n % 50 == 7 for n in range(150)]


@pytest.fixture
def seventy_seven(seven: Path, tmp_path: Path) -> Path:
    """Two sevens beside each other on paper."""
    sheet = Image.new("L", (400, 240), 245)
    ink = Image.open(seven.parent / "mnist-7.png").resize((140, 140))
    for x in (50, 200):
        sheet.paste(20, (x, 50), ink.point([255 * (value > 100) for value in range(256)]))
    sheet.save(tmp_path / "77.png")
    return tmp_path / "77.png"


def test_all_predicts_the_digits_of_an_image_from_left_to_right(
    ptx: Any, workspace: Path, seven: Path, seventy_seven: Path
) -> None:
    refused = ptx("predict", seventy_seven, "--workspace", workspace)
    assert refused.code == 4
    assert "[E-IMG-OBJECTS]" in refused.err
    blank = seventy_seven.with_name("blank.png")
    Image.new("L", (40, 40), 200).save(blank)
    done = ptx("predict", seventy_seven, blank, seven, "--all", "--json", "--workspace", workspace)
    assert done.code == 4
    left, right, failed, alone = map(json.loads, done.out.splitlines())
    assert [answer["label"] for answer in (left, right, alone)] == ["7", "7", "7"]
    assert left["box"][0] < left["box"][2] < right["box"][0] < right["box"][2]
    assert failed["code"] == "E-IMG-BLANK"
    text = ptx("predict", seventy_seven, "--all", "--workspace", workspace).out.splitlines()
    assert [line.startswith(f"{seventy_seven} (") for line in text] == [True, True]


def test_all_prints_the_ignored_regions_once(
    ptx: Any, workspace: Path, seventy_seven: Path
) -> None:
    with Image.open(seventy_seven) as arguments:
        sheet = arguments.convert("L")
    sheet.paste(20, (140, 20, 146, 40))
    sheet.save(seventy_seven)
    done = ptx("predict", seventy_seven, "--all", "--json", "--workspace", workspace)
    assert len(done.out.splitlines()) == 2
    assert "others" not in json.loads(done.out.splitlines()[0])
    assert done.err.count("1 smaller region ignored") == 1


def test_ignored_regions_are_printed_once_per_image(
    ptx: Any, workspace: Path, seven: Path, tmp_path: Path
) -> None:
    with Image.open(seven.parent / "mnist-7.png") as arguments:
        sheet = Image.new("L", (280, 200), 0)
        sheet.paste(arguments.convert("L").resize((112, 112)), (40, 40))
    alone = tmp_path / "alone.png"
    sheet.save(alone)
    sheet.paste(220, (200, 120, 208, 150))
    beside = tmp_path / "beside.png"
    sheet.save(beside)
    done = ptx("predict", alone, beside, seven, "--json", "--workspace", workspace)
    assert done.code == 0
    assert [json.loads(line)["label"] for line in done.out.splitlines()] == ["7", "7", "7"]
    assert "others" not in done.out
    assert done.err.count("smaller region ignored") == 1
    assert f"{beside}: 1 smaller region ignored, 71% from the left and 60% from the top" in done.err


def test_all_needs_a_model_of_drawn_digits(ptx: Any, workspace: Path) -> None:
    done = ptx("predict", "2.5", "--all", "--model", "linreg", "--workspace", workspace)
    assert done.code in (2, 4)
    assert done.out == ""
    assert "Traceback" not in done.err
