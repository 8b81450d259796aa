"""ptx sign"""

from __future__ import annotations

from pathlib import Path

import click

from ptx import infer
from ptx.cli import options
from ptx.cli.terminal import print_summary
from ptx.cli.workspace import Workspace

_PEM = click.Path(path_type=Path)


@click.command(
    epilog="\b\nExamples:\n  ptx sign runs/convnet/convnet.onnx --key key.pem\n"
    "  ptx sign convnet --key key.pem --certificate certificate.pem",
)
@click.argument("model", metavar="FILE", shell_complete=options.complete_model)
@click.option(
    "--key",
    type=_PEM,
    required=True,
    help="Private key in PEM, on the elliptic curve P-256, P-384 or P-521.",
)
@click.option(
    "--password",
    envvar="PTX_KEY_PASSWORD",
    show_envvar=True,
    help="Password of an encrypted key; other users of the machine can see it on the command line.",
)
@click.option(
    "--certificate",
    type=_PEM,
    help="Certificate of the key in PEM, which goes into the signature.",
)
@click.option(
    "--chain",
    type=_PEM,
    multiple=True,
    help="PEM file with certificates between the certificate and its root; can be repeated.",
)
@options.output("The signature; by default FILE.sig, next to FILE.")
@options.workspace
@options.common
def sign(
    model: str,
    key: Path,
    password: str | None,
    certificate: Path | None,
    chain: tuple[Path, ...],
    output: Path | None,
    workspace: Path,
) -> None:
    """Sign FILE, and the files that its weights are in, with OpenSSF model signing.

    `ptx verify FILE --signer PUBLIC_KEY` checks the signature with the public key of --key, or, with
    --certificate, with the root certificate of the authority that issued it. FILE is an artifact, a
    checkpoint, an ONNX file, or the name of a model. Needs the extra `sign`.
    """
    path = Workspace(workspace).find(model)
    signature = infer.sign(
        path, key=key, password=password, certificate=certificate, chain=chain, signature=output
    )
    signer = "PUBLIC_KEY" if certificate is None else "ROOT_CERTIFICATE"
    where = "" if output is None else f" --signature {output}"
    print_summary(
        f"{signature} is the signature of {path}", f"ptx verify {path} --signer {signer}{where}"
    )
