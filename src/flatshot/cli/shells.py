"""Commands and shells that have the variables of a package."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

import click

from flatshot.errors import ConfigError


def run_command(command: Sequence[str] | str, variables: Mapping[str, str], **more: Any) -> int:
    """Run `command` with the variables set, and give its exit code.

    Raises:
        ConfigError: it cannot be started.
    """
    try:
        done = subprocess.run(command, env={**os.environ, **variables}, check=False, **more)
    except OSError as error:
        name = command if isinstance(command, str) else command[0]
        raise ConfigError(f"cannot run {name!r}: {error.strerror or error}") from error
    # A signal is told as shells do.
    return done.returncode if done.returncode >= 0 else 128 - done.returncode


def run_shell(variables: Mapping[str, str]) -> int:
    """Start the user's shell with the variables set, and give its exit code."""
    shell = os.environ.get("SHELL") or ("cmd.exe" if os.name == "nt" else "/bin/sh")
    click.echo("flatshot: a new shell with the package's variables; `exit` leaves it", err=True)
    return run_command([shell], variables)
