"""Sign a model file, and check who signed it, with OpenSSF model signing.

A signature is a Sigstore bundle in a file of its own, `convnet.onnx.sig` next to `convnet.onnx`, which
the `model_signing` command of OpenSSF reads as well. It covers the model file and the files that its
weights are in. It is made with an elliptic-curve key, whose public key verifies it, or with such a key
and its X.509 certificate, which a certificate authority verifies. Needs the extra `sign`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ptx.infer.artifact.artifact import Artifact, read_artifact
from ptx.infer.artifact.files import read_bytes, write_atomic
from ptx.infer.errors import ArtifactError, BackendError, InputError, install_hint, quote
from ptx.infer.replay import Check

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

_SIZE_LIMIT = 2**22  # bytes of a key, of certificates or of a signature
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_EXPECTED_KEY = f"an elliptic-curve key on {', '.join(_CURVES.values())} in PEM"
_OUTSIDE_VALIDITY = (9, 10)  # X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED


def sign(
    path: str | Path,
    *,
    key: str | Path,
    password: str | None = None,
    certificate: str | Path | None = None,
    chain: Sequence[str | Path] = (),
    signature: str | Path | None = None,
) -> Path:
    """Write the signature of a model file, and return its path.

    Args:
        path: The model file. The files that its weights are in are signed with it.
        key: An elliptic-curve private key in PEM, on P-256, P-384 or P-521.
        password: Of an encrypted key.
        certificate: The certificate of the key, in PEM. It goes into the signature, so that who trusts
            the authority that issued it needs no public key.
        chain: PEM files with the certificates between `certificate` and the root.
        signature: Where to write it; by default the model's path with `.sig` added.

    Raises:
        ArtifactError: the file cannot be read, or has changed since ptx wrote it.
        InputError: the key or a certificate cannot be used (E-SIGN-KEY), or the certificate is not valid
            now (E-SIGN-EXPIRED).
        BackendError: model-signing is not installed.
        OutputError: the signature cannot be written.
    """
    signing = _import_model_signing().signing
    artifact = read_artifact(path)
    if artifact.manifest is not None:
        artifact.require_manifest()
    private_key = _read_private_key(Path(key), password)
    config = signing.Config().set_hashing_config(_SignedFiles(artifact))
    if certificate is None:
        config.use_elliptic_key_signer(private_key=key, password=_encode(password))
    elif password is not None:
        raise InputError(
            f"{quote(key)} is encrypted, which is possible without a certificate only: decrypt it"
            " with `openssl pkey -in KEY -out DECRYPTED`",
            code="E-SIGN-KEY",
        )
    else:
        _require_usable(Path(certificate), private_key)
        for one in chain:
            _read_certificates(Path(one))
        # The certificate once more, since model-signing 1.1 fails if the chain is empty.
        config.use_certificate_signer(
            private_key=key,
            signing_certificate=certificate,
            certificate_chain=chain or [certificate],
        )
    target = _signature_path(artifact.path) if signature is None else Path(signature)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        config.sign(artifact.path, bundle)
        write_atomic(target, bundle.read_bytes())
    return target


def check_signature(
    artifact: Artifact, signer: str | Path, signature: str | Path | None = None
) -> Check:
    """The check that a model file is as its signer signed it.

    Args:
        artifact: The file.
        signer: A PEM file: the public key of the signer, or the root certificate of an authority, all of
            whose certificates for digital signatures or code signing are accepted.
        signature: By default the file's path with `.sig` added.

    Raises:
        ArtifactError: E-SIGN-MISSING: there is no signature. E-SIGN-DAMAGED: it is not one, or was
            changed. E-SIGN-SIGNER: another key made it, or a certificate that the authority did not
            issue. E-SIGN-EXPIRED: a certificate is not valid now. E-SIGN-CHANGED: a file is not as it
            was signed.
        InputError: E-SIGN-KEY: `signer` is neither a public key nor a certificate.
        BackendError: model-signing is not installed.
    """
    verifying = _import_model_signing().verifying
    path = _signature_path(artifact.path) if signature is None else Path(signature)
    material = _read_material(path, artifact)
    config = verifying.Config()
    if b"-----BEGIN CERTIFICATE-----" in _read_pem(Path(signer)):
        signed_by = _require_issued(material, path, Path(signer))
        config.use_certificate_verifier(certificate_chain=[signer])
    else:
        signed_by = _require_key(material, path, Path(signer))
        config.use_elliptic_key_verifier(public_key=signer)
    _verify(config, artifact, path)
    return Check(
        "signature", True, f"{path.name} is of {signed_by}, and the content is what was signed"
    )


def _import_model_signing() -> Any:
    try:
        import model_signing
    except ModuleNotFoundError as error:
        raise BackendError(f"{error.name} is not installed: {install_hint('sign')}") from error
    return model_signing


@dataclass
class _SignedFiles:
    """The files of one artifact, in place of the search of a folder by model_signing."""

    artifact: Artifact
    reached: bool = False  # set when the files are hashed: the signature itself is valid

    def hash(self, model_path: Any, *, files_to_hash: Any = None) -> Any:
        """The names and digests of the files; the name of a file without others is `.`."""
        config = _import_model_signing().hashing.Config()
        config.set_allow_symlinks(True).set_ignored_paths(paths=(), ignore_git_paths=False)
        self.reached = True
        path = self.artifact.path
        parts = [path.parent / name for name in self.artifact.external_data]
        return config.hash(path.parent if parts else path, files_to_hash=[path, *parts])

    def add_ignored_paths(self, **_: Any) -> None:
        """All files are compared, whichever a signature says to ignore."""


def _verify(config: Any, artifact: Artifact, path: Path) -> None:
    """Verify the signature itself, then the digests of the files in it."""
    from cryptography.exceptions import InvalidSignature
    from OpenSSL.crypto import X509StoreContextError

    files = _SignedFiles(artifact)
    try:
        config.set_hashing_config(files).verify(artifact.path, path)
    except X509StoreContextError as error:
        raise ArtifactError(
            f"{quote(path)} was not made with a certificate of this signer: {error}",
            code="E-SIGN-SIGNER",
        ) from error
    except (InvalidSignature, ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
        if not files.reached:
            raise _damaged(path, type(error).__name__) from error
        names = ", ".join(map(quote, (artifact.path.name, *artifact.external_data)))
        raise ArtifactError(
            f"{names}: the content is not what was signed in {quote(path)}; download it again, or"
            " sign it if the change was intended: ptx sign FILE --key KEY",
            code="E-SIGN-CHANGED",
        ) from error


def _signature_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.sig")


def _damaged(path: Path, reason: str) -> ArtifactError:
    return ArtifactError(
        f"{quote(path)} is damaged or not a signature of OpenSSF model signing ({reason}):"
        " download it again, or sign the file again",
        code="E-SIGN-DAMAGED",
    )


def _read_material(path: Path, artifact: Artifact) -> dict[str, Any]:
    """What a signature says about the key or certificate that made it."""
    try:
        data = read_bytes(path, limit=_SIZE_LIMIT, error=ArtifactError)
    except ArtifactError as error:
        if error.code != "E-IN-MISSING":
            raise
        raise ArtifactError(
            f"{artifact.name} is not signed: there is no {quote(path)}; name it with --signature, or"
            " make it with `ptx sign FILE --key KEY`",
            code="E-SIGN-MISSING",
        ) from error
    try:
        material = json.loads(data)["verificationMaterial"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, type(error).__name__) from error
    if not isinstance(material, dict):
        raise _damaged(path, "no verificationMaterial")
    return material


def _require_key(material: dict[str, Any], path: Path, signer: Path) -> str:
    """Require that a signature was made with the key of a public key, which is described."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_public_key,
    )

    try:
        key = load_pem_public_key(_read_pem(signer))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"{quote(signer)} is neither a public key nor a certificate; expected"
            f" {_EXPECTED_KEY} (`openssl pkey -in KEY -pubout`), or a root certificate",
            code="E-SIGN-KEY",
        ) from error
    _require_curve(key, signer)
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    fingerprint = hashlib.sha256(pem).hexdigest()
    try:
        hint = material["publicKey"]["hint"]
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"{quote(path)} was not made with a key alone, and {quote(signer)} is a public key;"
            " expected the root certificate of the signer",
            code="E-SIGN-SIGNER",
        ) from error
    if hint != fingerprint:
        raise ArtifactError(
            f"{quote(path)} was made with another key than that of {quote(signer)}: use the public"
            " key of whom you expect to have signed the file, or do not use the file",
            code="E-SIGN-SIGNER",
        )
    return f"the key of {quote(signer)}"


def _require_issued(material: dict[str, Any], path: Path, signer: Path) -> str:
    """Require that a signature has a certificate which a root issued and which is valid now.

    model_signing checks the chain at the first second of the certificate, so that an expired one passes.

    Returns:
        A description of the certificate.
    """
    from cryptography import x509
    from OpenSSL import crypto

    roots = _read_certificates(signer)
    try:
        entries = material["x509CertificateChain"]["certificates"]
        certificate, *others = [
            x509.load_der_x509_certificate(base64.b64decode(entry["rawBytes"], validate=True))
            for entry in entries
        ]
    except (KeyError, TypeError) as error:
        raise ArtifactError(
            f"{quote(path)} was not made with a certificate of an authority, and {quote(signer)} is a"
            " certificate; expected the public key of the signer",
            code="E-SIGN-SIGNER",
        ) from error
    except ValueError as error:
        raise _damaged(path, "no certificates") from error
    store = crypto.X509Store()
    for root in roots:
        store.add_cert(crypto.X509.from_cryptography(root))
    chain = [crypto.X509.from_cryptography(one) for one in others]
    name = certificate.subject.rfc4514_string()
    try:
        crypto.X509StoreContext(
            store, crypto.X509.from_cryptography(certificate), chain
        ).verify_certificate()
    except crypto.X509StoreContextError as error:
        if error.errors[0] in _OUTSIDE_VALIDITY:
            raise ArtifactError(
                f"the certificate of {name} in {quote(path)}, or one above it, is not valid now:"
                f" {error}; sign the file again with a certificate that is",
                code="E-SIGN-EXPIRED",
            ) from error
        raise ArtifactError(
            f"{quote(path)} has a certificate of {name}, which {quote(signer)} did not issue"
            f" ({error}): use the root certificate of whom you expect to have signed the file",
            code="E-SIGN-SIGNER",
        ) from error
    if not _may_sign(certificate):
        raise ArtifactError(
            f"{quote(path)} has a certificate of {name} that is not for digital signatures: sign the"
            " file again with one that is",
            code="E-SIGN-SIGNER",
        )
    return f"{name}, whose certificate is valid until {certificate.not_valid_after_utc:%Y-%m-%d}"


def _require_usable(path: Path, private_key: EllipticCurvePrivateKey) -> None:
    """Require that a certificate belongs to the key, is valid now, and may sign."""
    from datetime import UTC, datetime

    certificate = _read_certificates(path)[0]
    if certificate.public_key() != private_key.public_key():
        raise InputError(
            f"{quote(path)} is the certificate of another key: name the key that it was issued for",
            code="E-SIGN-KEY",
        )
    first, last = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if not first <= datetime.now(UTC) <= last:
        raise InputError(
            f"the certificate in {quote(path)} is valid from {first:%Y-%m-%d} to {last:%Y-%m-%d}, not"
            " now: have it renewed",
            code="E-SIGN-EXPIRED",
        )
    if not _may_sign(certificate):
        raise InputError(
            f"{quote(path)} is not for digital signatures; expected digitalSignature in its key usage,"
            " or codeSigning in its extended key usage",
            code="E-SIGN-KEY",
        )


def _may_sign(certificate: x509.Certificate) -> bool:
    """As model_signing requires of a certificate."""
    from cryptography import x509

    for extension in certificate.extensions:
        usage = extension.value
        if isinstance(usage, x509.KeyUsage) and usage.digital_signature:
            return True
        code_signing = x509.oid.ExtendedKeyUsageOID.CODE_SIGNING
        if isinstance(usage, x509.ExtendedKeyUsage) and code_signing in usage:
            return True
    return False


def _read_private_key(path: Path, password: str | None) -> EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key: Any = load_pem_private_key(_read_pem(path), _encode(password))
    except TypeError as error:
        why = (
            "is encrypted: set PTX_KEY_PASSWORD to its password"
            if password is None
            else "is not encrypted: leave the password out"
        )
        raise InputError(f"{quote(path)} {why}", code="E-SIGN-KEY") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"{quote(path)} is not a private key, or the password is wrong; expected {_EXPECTED_KEY}:"
            " `openssl ecparam -name prime256v1 -genkey -noout -out KEY`",
            code="E-SIGN-KEY",
        ) from error
    _require_curve(key, path)
    return cast("EllipticCurvePrivateKey", key)


def _encode(password: str | None) -> bytes | None:
    return None if password is None else password.encode()


def _require_curve(key: Any, path: Path) -> None:
    name = getattr(getattr(key, "curve", None), "name", None)
    if name not in _CURVES:
        kind = type(key).__name__ if name is None else f"a key on {name}"
        raise InputError(f"{quote(path)} is {kind}; expected {_EXPECTED_KEY}", code="E-SIGN-KEY")


def _read_certificates(path: Path) -> list[x509.Certificate]:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificates(_read_pem(path))
    except ValueError as error:
        raise InputError(
            f"{quote(path)} is not a certificate; expected one in PEM", code="E-SIGN-KEY"
        ) from error


def _read_pem(path: Path) -> bytes:
    return read_bytes(path, limit=_SIZE_LIMIT)
