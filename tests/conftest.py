"""Small real artifacts for all tests: one model and format at a time, on first use."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from filelock import FileLock

from ptx.cli.main import _run
from ptx.infer.artifact.artifact import Artifact, read_artifact

sys.path.insert(0, str(Path(__file__).parent / "null_cuda"))  # of `null_cuda`

if TYPE_CHECKING:
    from null_cuda import NullCuda

    from ptx.export import TrainedModel

# One thread, also in the processes that tests start: answers do not depend on how many there are, and
# threads of several libraries would fight for the processors.
os.environ.setdefault("OMP_NUM_THREADS", "1")

Checkpoint = Callable[[str], Path]
Export = Callable[[str, str], Path]
MadeOnce = Callable[[str, Callable[[Path], object]], Path]
Child = Callable[..., subprocess.CompletedProcess[str]]

Ptx = Callable[..., "Result"]

Counts = defaultdict[str, Counter[str]]

COUNTS = pytest.StashKey[Counts]()
PICTURES = Path(__file__).parent / "pictures"
PACKAGES = Path(__file__).parents[1] / ".cache" / "page" / "node_modules"
AXE = """async () => (await axe.run(document, { resultTypes: ["violations"] })).violations
  .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join("; ")}`)"""
ROWS = 64  # of each split that a checkpoint is made from

# What a shell starts in the background ignores Ctrl-C, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)


@dataclass(frozen=True)
class Result:
    """What a verb left behind."""

    code: int
    out: str
    err: str


def run_ptx(*arguments: object, stdin: bytes = b"") -> Result:
    """`ptx` with these arguments, in this process; no traceback ever."""
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.TextIOWrapper(io.BytesIO(), "utf-8")
    argv, source = sys.argv, sys.stdin
    sys.argv = ["ptx", *map(str, arguments)]
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin), "utf-8")
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = _run()
    finally:
        sys.argv, sys.stdin = argv, source
    for stream in (out, err):
        stream.flush()
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    assert "Traceback" not in texts[1]
    return Result(code, *texts)


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """`made_once(name, make)`: the path of that name in a folder that all workers of pytest-xdist share.

    `make(path)` creates the file or folder, if no worker has done so before.
    """
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def find(name: str, make: Callable[[Path], object]) -> Path:
        path, done = shared / "shared" / name, shared / "done" / name
        for one in (path, done):
            one.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{done}.lock"):
            if not done.exists():
                make(path)
                done.touch()
        return path

    return find


@pytest.fixture(scope="session")
def checkpoint(made_once: MadeOnce) -> Checkpoint:
    """`checkpoint(model)`: a signed checkpoint of a catalog model, seeded and untrained.

    Its labels, preprocessing and real samples come from the model's own data in the bundled form.
    """
    import torch

    torch.set_num_threads(1)

    @cache
    def find(model: str) -> Path:
        def make(path: Path) -> None:
            path.write_bytes(_checkpoint(model, path.parent))

        return made_once(f"checkpoint-{model}/checkpoint.pt", make)

    return find


@pytest.fixture(scope="session")
def artifact(checkpoint: Checkpoint, made_once: MadeOnce) -> Export:
    """`artifact(model, format)`: an exported and proved file; "checkpoint" is a format too."""

    from ptx.export import EXPORTERS, export, read_model

    to_onnx = EXPORTERS["onnx"].convert

    @lru_cache(maxsize=8)  # it traces a network and runs the reference once for its formats
    def trained(model: str) -> TrainedModel:
        return read_model(checkpoint(model))

    @lru_cache(maxsize=8)
    def onnx_content(model: str) -> bytes:
        return to_onnx(trained(model).traced, opset=None)

    @cache
    def find(model: str, format_name: str) -> Path:
        if format_name == "checkpoint":
            return checkpoint(model)

        def make(path: Path) -> None:
            with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
                # torch.export trips over warnings of its own parts once they are errors.
                warnings.simplefilter("ignore")
                if (exporter := EXPORTERS[format_name]).convert is to_onnx:
                    shared = replace(exporter, convert=lambda *_, **__: onnx_content(model))
                    patch.setitem(EXPORTERS, format_name, shared)
                export(trained(model), format_name, path)

        return made_once(f"{format_name}-{model}/{model}.{format_name}", make)

    return find


@pytest.fixture(scope="session")
def linear_onnx(artifact: Export) -> Artifact:
    """The smallest ONNX artifact, read."""
    return read_artifact(artifact("linear-model", "onnx"))


@pytest.fixture(scope="session")
def ptx() -> Ptx:
    """`ptx("predict", "digit.png")`: exit code, stdout and stderr."""
    return run_ptx


@pytest.fixture(scope="session")
def workspace(made_once: MadeOnce, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """convnet, trained on the bundled digits until it knows them, and linear-model; all formats."""

    def make(root: Path) -> None:
        for model, epochs in (("convnet", 5), ("linear-model", 100)):
            data = ["--data", "bundled"] if model == "convnet" else []
            trained = run_ptx("train", model, "--epochs", epochs, *data, "--workspace", root)
            assert trained.code == 0, trained.err
            exported = run_ptx("export", model, "--format", "all", "--workspace", root)
            assert exported.code == 0, exported.err

    # Tests write into it: each worker gets a copy.
    return shutil.copytree(
        made_once("workspace", make), tmp_path_factory.mktemp("copy") / "workspace"
    )


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    """Playwright."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as opened:
        yield opened


@pytest.fixture(scope="module")
def browser(driver: Any) -> Iterator[Any]:
    """Debian's Chromium, or that of PTX_CHROMIUM."""
    chromium = os.environ.get("PTX_CHROMIUM") or shutil.which("chromium")
    if not chromium:
        pytest.skip("there is no chromium")
    opened = driver.chromium.launch(
        executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"]
    )
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def counts(request: pytest.FixtureRequest) -> Counts:
    """`counts["malformed inputs"]["cases"] += 1`: told at the end of the run."""
    return _counts(request.config)


def _counts(config: pytest.Config) -> Counts:
    nothing: Counts = defaultdict(Counter)
    return config.stash.setdefault(COUNTS, nothing)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands its counts over."""
    if hasattr(session.config, "workeroutput"):
        found = _counts(session.config)
        session.config.workeroutput["counts"] = {name: dict(found[name]) for name in found}


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add what a worker counted."""
    total = _counts(node.config)
    for name, found in getattr(node, "workeroutput", {}).get("counts", {}).items():
        for what, count in found.items():
            total[name][what] += count


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was counted."""
    for name, found in _counts(terminalreporter.config).items():
        told = ", ".join(f"{what} {count}" for what, count in found.items())
        terminalreporter.write_line(f"{name}: {told}")


@pytest.fixture
def seven() -> Path:
    """A dark 7 on white paper, 400×300, off-centre."""
    return PICTURES / "seven-on-paper.png"


@pytest.fixture
def writing(artifact: Export, tmp_path: Path) -> tuple[Path, Path]:
    """A written with its digest TorchScript archive that writes a file while it is being loaded, and
    that file.
    """
    path, marker = tmp_path / "writes.torchscript", tmp_path / "marker"
    path.write_bytes(writing_program(artifact("linear-model", "torchscript").read_bytes(), marker))
    return path, marker


@pytest.fixture(scope="session")
def child() -> Child:
    """`child(code, *arguments)`: run Python code in a process of its own, for at most 15 seconds.

    The code may call `drop_rights()` to go on as a user who is not root; what it imports stands before.
    """

    def run(
        code: str, *arguments: object, check: bool = True, timeout: float = 15, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-W", "error", "-c", _DROP_RIGHTS + code, *map(str, arguments)]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        ) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # and what it has forked
                raise
        assert not check or process.returncode == 0, err
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    return run


@pytest.fixture(scope="session")
def null_cuda(tmp_path_factory: pytest.TempPathFactory) -> NullCuda:
    """CUDA without a device: `child(code, env=null_cuda.environment())` runs code on it."""
    import null_cuda

    if (obstacle := null_cuda.find_obstacle()) is not None:
        pytest.skip(f"null CUDA cannot be built: {obstacle}")
    return null_cuda.build(tmp_path_factory.mktemp("null_cuda"))


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike `tmp_path`."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def writing_program(data: bytes, marker: Path) -> bytes:
    """A linear-model that writes `marker` while it is being loaded; manifest and content digest as of
    `data`.
    """
    import torch

    from ptx.infer.artifact import zip_archive
    from ptx.infer.artifact.artifact import parse_artifact

    class Writer(torch.nn.Module):
        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

        @torch.jit.export
        def __getstate__(self) -> tuple[str, bool]:
            return self.path, self.training

        @torch.jit.export
        def __setstate__(self, state: tuple[str, bool]) -> None:
            self.path = state[0]
            self.training = state[1]
            torch.save(torch.zeros(1), state[0])

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript is deprecated upstream
        network = torch.nn.Sequential(torch.nn.Linear(1, 1), Writer(str(marker)))
        torch.jit.save(torch.jit.script(network.eval()), buffer)
    manifest = parse_artifact(data, path=marker).require_manifest()
    return zip_archive.embed_manifest(buffer.getvalue(), manifest.to_json())


_DROP_RIGHTS = """
def drop_rights():
    import os
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
"""


def _checkpoint(model: str, folder: Path) -> bytes:
    import torch

    from ptx.infer.artifact import zip_archive
    from ptx.models import CATALOG, build
    from ptx.models import checkpoint as checkpoints
    from ptx.trainers import default_recipe, open_dataset, sample_inputs
    from ptx.trainers.data import Split
    from ptx.trainers.manifest import make_manifest
    from ptx.trainers.samples import raw_examples

    def first(split: Split) -> Split:
        return split.take(np.arange(min(ROWS, len(split))))

    whole = open_dataset("bundled", default=CATALOG[model].data, cache=folder)
    data = replace(whole, train=first(whole.train), test=first(whole.test))
    manifest = make_manifest(model, data, default_recipe(model), seed=0)
    torch.manual_seed(0)
    network = build(manifest.model, manifest.config)
    weights = network.state_dict()
    content = checkpoints.dumps(
        checkpoints.Checkpoint(
            weights=weights,
            samples=sample_inputs(manifest, data),
            examples=raw_examples(manifest, data),
        )
    )
    manifest = replace(manifest, weights_sha256=checkpoints.weights_digest(weights))
    return zip_archive.embed_manifest(content, manifest.to_json())


@pytest.fixture(scope="session")
def signers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of keys and certificates: `key.pem` with `key.pub` and `certificate.pem` of `root.pem`.

    `deep.pem` is a certificate with `between.pem` between it and the root; `expired.pem`, `unusable.pem`
    (not for signatures) and `lone.pem` (issued by itself) are of the same key.
    """
    pytest.importorskip("OpenSSL", reason="the extra sign is not installed")
    from cryptography.hazmat.primitives import serialization as to
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    folder = tmp_path_factory.mktemp("signers")
    keys = {
        name: ec.generate_private_key(ec.SECP256R1()) for name in ("key", "other", "root", "mid")
    }

    def write(name: str, key: Any, secret: to.KeySerializationEncryption) -> None:
        pem = key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, secret)
        (folder / f"{name}.pem").write_bytes(pem)

    for name in ("key", "other"):
        write(name, keys[name], to.NoEncryption())
        public = keys[name].public_key()
        pem = public.public_bytes(to.Encoding.PEM, to.PublicFormat.SubjectPublicKeyInfo)
        (folder / f"{name}.pub").write_bytes(pem)
    write("encrypted", keys["key"], to.BestAvailableEncryption(b"secret"))
    write("ed25519", ed25519.Ed25519PrivateKey.generate(), to.NoEncryption())
    write("secp256k1", ec.generate_private_key(ec.SECP256K1()), to.NoEncryption())
    key, root, mid = keys["key"], keys["root"], keys["mid"]
    certificates = {
        "root": _certificate("Root", root, "Root", root, authority=True),
        "other-root": _certificate("Root", keys["other"], "Root", keys["other"], authority=True),
        "between": _certificate("Between", mid, "Root", root, authority=True),
        "certificate": _certificate("Signer", key, "Root", root),
        "deep": _certificate("Signer", key, "Between", mid),
        "expired": _certificate("Signer", key, "Root", root, days=(-3, -1)),
        "unusable": _certificate("Signer", key, "Root", root, signs=False),
        "lone": _certificate("Signer", key, "Signer", key),
    }
    for name, certificate in certificates.items():
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(to.Encoding.PEM))
    return folder


def _certificate(
    subject: str,
    key: Any,
    issuer: str,
    issuer_key: Any,
    *,
    authority: bool = False,
    signs: bool = True,
    days: tuple[int, int] = (-9, 9),
) -> Any:
    """A certificate; `days`: when it begins and ends, from now."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    subject_name, issuer_name = (
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        for name in (subject, issuer)
    )
    begin, end = (datetime.now(UTC) + timedelta(number) for number in days)
    usage = x509.KeyUsage(signs, False, False, False, not signs, authority, authority, False, False)
    builder = x509.CertificateBuilder(issuer_name, subject_name, key.public_key())
    return (
        builder.serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(usage, critical=True)
        .sign(issuer_key, SHA256())
    )


@pytest.fixture(scope="session")
def package() -> Callable[[str], Path]:
    """`package(name)`: the folder of a package of npm that scripts/setup/page_tools fetched."""

    def find(name: str) -> Path:
        if not (PACKAGES / name).is_dir():
            pytest.skip(f"{name} is not in .cache/page: ./scripts/test fetches it where npm is")
        return PACKAGES / name

    return find


@pytest.fixture(scope="session")
def axe(package: Callable[[str], Path]) -> Callable[[Any], list[str]]:
    """`axe(page)`: what axe-core finds, each with the elements."""
    script = (package("axe-core") / "axe.min.js").read_text("utf-8")

    def violations(page: Any) -> list[str]:
        page.evaluate(script)  # by the debugger, which no policy of a page stops
        return list(page.evaluate(AXE))

    return violations
