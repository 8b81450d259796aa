"""ptx completion"""

from __future__ import annotations

import click

from ptx.cli import options
from ptx.cli.streams import echo

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="\b\nExamples:\n  ptx completion bash\n  ptx completion zsh",
)
@click.argument("shell", type=click.Choice(SHELLS))
@options.common
def completion(shell: str) -> None:
    """Print a script with which a shell completes commands, options, model names and backends.

    \b
    bash, in ~/.bashrc:   eval "$(ptx completion bash)"
    zsh, in ~/.zshrc:     eval "$(ptx completion zsh)"   (after compinit)
    fish, once:           ptx completion fish > ~/.config/fish/completions/ptx.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    shell_class = get_completion_class(shell)
    assert shell_class is not None
    completer = shell_class(click.Group(), {}, "ptx", "_PTX_COMPLETE")
    # The method of the base class, because that for bash starts bash to check its version.
    echo(ShellComplete.source(completer))
