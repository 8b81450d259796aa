"""Signatures of model files: who signed what, and everything that is not so is an error."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ptx.infer import InputError, PtxError, sign, verify
from ptx.infer.artifact.artifact import Artifact

pytest.importorskip("model_signing", reason="the extra sign is not installed")

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def model(linear_onnx: Artifact, tmp_path: Path) -> Path:
    return Path(shutil.copy(linear_onnx.path, tmp_path / "linear.onnx"))


def verified(path: Path, signer: Path, **options: Any) -> str:
    """What verify says about the signature; nothing of the file is run."""
    first, *rest = verify(path, signer=signer, run=False, **options)
    assert (first.name, first.passed) == ("signature", True)
    assert rest
    return first.detail


def refused(path: Path, signer: Path, **options: Any) -> str:
    """The code of the error."""
    with pytest.raises(PtxError) as caught:
        verify(path, signer=signer, **options)
    return caught.value.code


def test_a_key_signs_and_its_public_key_verifies(model: Path, signers: Path) -> None:
    signature = sign(model, key=signers / "key.pem")
    assert signature == model.with_name("linear.onnx.sig")
    assert "key.pub" in verified(model, signers / "key.pub")
    assert refused(model, signers / "other.pub") == "E-SIGN-SIGNER"
    assert refused(model, signers / "root.pem") == "E-SIGN-SIGNER"


def test_an_encrypted_key_needs_its_password(model: Path, signers: Path) -> None:
    sign(model, key=signers / "encrypted.pem", password="secret")
    verified(model, signers / "key.pub")
    wrong: list[dict[str, Any]] = [
        {"key": signers / "encrypted.pem"},
        {"key": signers / "encrypted.pem", "password": "guess"},
        {"key": signers / "key.pem", "password": "secret"},
        {
            "key": signers / "encrypted.pem",
            "password": "secret",
            "certificate": signers / "certificate.pem",
        },
    ]
    for options in wrong:
        with pytest.raises(InputError) as caught:
            sign(model, **options)
        assert caught.value.code == "E-SIGN-KEY"


@pytest.mark.parametrize("name", ["ed25519.pem", "secp256k1.pem", "key.pub", "certificate.pem"])
def test_what_is_not_a_key_on_a_known_curve_is_refused(
    model: Path, signers: Path, name: str
) -> None:
    with pytest.raises(InputError) as caught:
        sign(model, key=signers / name)
    assert caught.value.code == "E-SIGN-KEY"
    assert not model.with_name("linear.onnx.sig").exists()


def test_a_certificate_is_verified_by_its_root(model: Path, signers: Path) -> None:
    sign(model, key=signers / "key.pem", certificate=signers / "certificate.pem")
    assert "CN=Signer" in verified(model, signers / "root.pem")
    assert refused(model, signers / "other-root.pem") == "E-SIGN-SIGNER"
    assert refused(model, signers / "key.pub") == "E-SIGN-SIGNER"


def test_certificates_between_come_with_the_signature(model: Path, signers: Path) -> None:
    key, certificate = signers / "key.pem", signers / "deep.pem"
    sign(model, key=key, certificate=certificate)
    assert refused(model, signers / "root.pem") == "E-SIGN-SIGNER"
    sign(model, key=key, certificate=certificate, chain=[signers / "between.pem"])
    verified(model, signers / "root.pem")


def test_a_certificate_that_issued_itself_is_its_own_root(model: Path, signers: Path) -> None:
    sign(model, key=signers / "key.pem", certificate=signers / "lone.pem")
    verified(model, signers / "lone.pem")
    assert refused(model, signers / "root.pem") == "E-SIGN-SIGNER"


@pytest.mark.parametrize(
    ("key", "certificate", "code"),
    [
        ("key", "expired", "E-SIGN-EXPIRED"),
        ("key", "unusable", "E-SIGN-KEY"),
        ("other", "certificate", "E-SIGN-KEY"),
        ("key", "key", "E-SIGN-KEY"),
    ],
)
def test_a_certificate_that_would_not_verify_signs_nothing(
    model: Path, signers: Path, key: str, certificate: str, code: str
) -> None:
    with pytest.raises(InputError) as caught:
        sign(model, key=signers / f"{key}.pem", certificate=signers / f"{certificate}.pem")
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("certificate", "code"), [("expired", "E-SIGN-EXPIRED"), ("unusable", "E-SIGN-SIGNER")]
)
def test_a_certificate_that_another_tool_signed_with_is_refused_too(
    model: Path, signers: Path, certificate: str, code: str
) -> None:
    from model_signing import signing

    config = signing.Config().use_certificate_signer(
        private_key=signers / "key.pem",
        signing_certificate=signers / f"{certificate}.pem",
        certificate_chain=[signers / "root.pem"],
    )
    config.sign(model, model.with_name("linear.onnx.sig"))
    assert refused(model, signers / "root.pem") == code


def test_a_changed_file_is_an_error_before_anything_is_run(model: Path, signers: Path) -> None:
    sign(model, key=signers / "key.pem")
    changed = model.read_bytes().replace(b"pytorch", b"pytorcH", 1)
    model.write_bytes(changed)
    assert refused(model, signers / "key.pub") == "E-SIGN-CHANGED"
    with pytest.raises(PtxError) as caught:  # and it is not signed as it is
        sign(model, key=signers / "key.pem")
    assert caught.value.code == "E-HASH"


def test_the_signature_of_another_file_is_none_of_this(
    model: Path, signers: Path, artifact: Callable[[str, str], Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.sig"
    sign(artifact("lstm", "onnx"), key=signers / "key.pem", signature=other)
    assert refused(model, signers / "key.pub") == "E-SIGN-MISSING"
    assert refused(model, signers / "key.pub", signature=other) == "E-SIGN-CHANGED"


def test_a_copy_with_another_name_has_the_same_signature(model: Path, signers: Path) -> None:
    signature = sign(model, key=signers / "key.pem")
    copy = Path(shutil.copy(model, model.with_name("copy.onnx")))
    verified(copy, signers / "key.pub", signature=signature)


def _replace_signature(bundle: dict[str, Any]) -> None:
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(b"none").decode()


def _replace_payload(bundle: dict[str, Any]) -> None:
    envelope = bundle["dsseEnvelope"]
    payload = json.loads(base64.b64decode(envelope["payload"]))
    payload["predicate"]["resources"][0]["digest"] = "0" * 64
    envelope["payload"] = base64.b64encode(json.dumps(payload).encode()).decode()


@pytest.mark.parametrize(
    "change",
    [
        _replace_signature,
        _replace_payload,
        lambda bundle: bundle["dsseEnvelope"].update(signatures=[]),
        lambda bundle: bundle.pop("dsseEnvelope"),
        lambda bundle: bundle.update(verificationMaterial=[]),
        lambda bundle: bundle.update(mediaType="text/plain"),
    ],
)
@pytest.mark.parametrize("mode", ["key", "certificate"])
def test_a_signature_that_was_changed_is_damaged(
    model: Path, signers: Path, change: Change, mode: str
) -> None:
    certificate = signers / "certificate.pem" if mode == "certificate" else None
    path = sign(model, key=signers / "key.pem", certificate=certificate)
    bundle = json.loads(path.read_text())
    change(bundle)
    path.write_text(json.dumps(bundle))
    signer = signers / ("root.pem" if certificate else "key.pub")
    assert refused(model, signer) == "E-SIGN-DAMAGED"


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b"[" * 100_000])
def test_what_is_not_a_signature_is_an_error(model: Path, signers: Path, content: bytes) -> None:
    model.with_name("linear.onnx.sig").write_bytes(content)
    assert refused(model, signers / "key.pub") == "E-SIGN-DAMAGED"


@pytest.mark.parametrize(
    "material",
    [
        {"publicKey": {}},
        {"publicKey": None},
        {"x509CertificateChain": {"certificates": []}},
        {"x509CertificateChain": {"certificates": [{"rawBytes": "AAAA"}]}},
        {"x509CertificateChain": {"certificates": "AAAA"}},
        {"certificate": {"rawBytes": "AAAA"}},
    ],
)
def test_a_signature_without_a_key_or_certificate_is_an_error(
    model: Path, signers: Path, material: dict[str, Any]
) -> None:
    path = sign(model, key=signers / "key.pem")
    bundle = json.loads(path.read_text())
    bundle["verificationMaterial"] = material
    path.write_text(json.dumps(bundle))
    for signer in ("key.pub", "root.pem"):
        assert refused(model, signers / signer) in ("E-SIGN-DAMAGED", "E-SIGN-SIGNER")


@pytest.mark.parametrize("name", ["key.pem", "ed25519.pem"])
def test_a_signer_is_a_public_key_or_a_certificate(model: Path, signers: Path, name: str) -> None:
    sign(model, key=signers / "key.pem")
    assert refused(model, signers / name) == "E-SIGN-KEY"


def test_a_signature_without_a_signer_is_refused(model: Path, signers: Path) -> None:
    signature = sign(model, key=signers / "key.pem")
    with pytest.raises(PtxError) as caught:
        verify(model, signature=signature)
    assert caught.value.code == "E-USAGE"


@pytest.fixture
def external(tmp_path: Path) -> Path:
    """An ONNX file whose weights are in another file of the folder, which has a third file."""
    import numpy as np
    from onnx import TensorProto, helper

    (tmp_path / "weights.bin").write_bytes(np.arange(6, dtype=np.float32).tobytes())
    (tmp_path / "README").write_text("not part of the model")
    tensor = TensorProto(
        name="w", data_type=TensorProto.FLOAT, dims=[6], data_location=TensorProto.EXTERNAL
    )
    tensor.external_data.add(key="location", value="weights.bin")
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 6]) for n in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Add", ["x", "w"], ["y"])], "g", [x], [y], [tensor])
    path = tmp_path / "net.onnx"
    path.write_bytes(helper.make_model(graph, ir_version=9).SerializeToString())
    return path


def test_the_files_of_the_weights_are_signed_too(
    external: Path, signers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(external.parent)
    sign("net.onnx", key=signers / "key.pem")
    verified(external, signers / "key.pub")
    (external.parent / "README").write_text("changed")
    verified(external, signers / "key.pub")
    weights = external.with_name("weights.bin")
    weights.write_bytes(bytes(24))
    assert refused(external, signers / "key.pub") == "E-SIGN-CHANGED"


def test_a_file_of_weights_that_the_signer_left_out_is_not_signed(
    external: Path, signers: Path
) -> None:
    from model_signing import hashing, signing

    ignored = [external.with_name(name) for name in ("weights.bin", "README")]
    files = hashing.Config().set_ignored_paths(paths=ignored)
    config = signing.Config().use_elliptic_key_signer(private_key=signers / "key.pem")
    config.set_hashing_config(files).sign(external.parent, external.with_name("net.onnx.sig"))
    assert refused(external, signers / "key.pub") == "E-SIGN-CHANGED"


def run_openssf(action: str, *words: str | Path, **keys: Path) -> subprocess.CompletedProcess[str]:
    """The command of OpenSSF, in key mode."""
    options = [str(word) for name, path in keys.items() for word in (f"--{name}", path)]
    command = [sys.executable, "-m", "model_signing", action, "key", *map(str, words), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_the_command_of_openssf_reads_the_signature(
    kind: str, model: Path, external: Path, signers: Path
) -> None:
    path = model if kind == "file" else external
    signature = sign(path, key=signers / "key.pem")
    signed = [path] if kind == "file" else [path.parent, "--ignore_unsigned_files"]
    done = run_openssf("verify", *signed, "--signature", signature, public_key=signers / "key.pub")
    assert done.returncode == 0, done.stderr


def test_a_signature_of_openssf_s_command_verifies(model: Path, signers: Path) -> None:
    signature = model.with_name("linear.onnx.sig")
    done = run_openssf("sign", model, "--signature", signature, private_key=signers / "key.pem")
    assert done.returncode == 0, done.stderr
    verified(model, signers / "key.pub")


def test_the_library_is_imported_for_signatures_alone(child: Any, model: Path) -> None:
    done = child(
        "import sys\nfrom ptx.infer import BackendError, sign, verify\n"
        "sys.modules['model_signing'] = None\n"
        "assert all(check.passed for check in verify(sys.argv[1]))\n"
        "try:\n    sign(sys.argv[1], key='key.pem')\n"
        "except BackendError as error:\n    print(error)",
        model,
    )
    assert "ptx-toolkit[sign]" in done.stdout
