"""`flatshot env`: the variables that an installed package gives, printed or set for a command."""

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from flatshot.cli.install import choose, open_packages, progress_bar, search
from flatshot.cli.terminal import can_ask
from flatshot.errors import ConfigError, PackageError

if TYPE_CHECKING:
    from flatshot.packages.install import Installed, Packages


class _Command(click.Command):
    """A command that keeps what stands after `--`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        cut = args.index("--") if "--" in args else len(args)
        ctx.meta[__name__] = args[cut + 1 :] if cut < len(args) else None
        return super().parse_args(ctx, args[:cut])

    def collect_usage_pieces(self, ctx: click.Context) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "[-- COMMAND...]"]


@click.command(
    "env",
    cls=_Command,
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]},
)
@click.argument("tags", nargs=-1, required=True)
@click.option("--shell", is_flag=True, help="Start a shell that has the variables.")
@click.option("--quiet", is_flag=True, help="Take the first of several.")
@click.pass_context
def command(ctx: click.Context, /, tags: tuple[str, ...], shell: bool, quiet: bool) -> int:
    """Print the variables of the installed package that bears all TAGS, as a shell's exports.

    After -- stands a command to run with them; --shell starts a shell, which `exit` leaves.
    """
    given: list[str] | None = ctx.meta[__name__]
    if shell and given is not None:
        raise click.UsageError("--shell and -- COMMAND both say what to run: give one")
    if given == []:
        raise click.UsageError("no command stands after --")
    found = installed_package(open_packages(), ",".join(tags), quiet=quiet)
    variables = package_variables(found)
    if shell:
        return run_shell(variables)
    if given is not None:
        return run_command(given, variables)
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    return 0


def installed_package(packages: "Packages", text: str, *, quiet: bool) -> "Installed":
    """The installed package of that name or those tags; one that is not is offered to a terminal.

    Raises:
        ConfigError: it is no query.
        PackageError: there is none, none is installed, or several are and nobody can be asked.
    """
    known = search(packages, text)
    there = [package for package in known if packages.installed(package)]
    if there:
        chosen = choose(there, text, quiet=quiet, purpose="use")
        return packages.install(chosen)
    if not can_ask():
        names = ", ".join(package.name for package in known[:5]) + (", ..." * (len(known) > 5))
        raise PackageError(
            f"no package with tags {text!r} is installed: `flatshot install` brings {names}"
        )
    chosen = choose(known, text, quiet=quiet)
    click.confirm(f"{chosen} is not installed: install it?", default=True, abort=True, err=True)
    with progress_bar() as on_progress:
        return packages.install(chosen, on_progress=on_progress)


def package_variables(installed: "Installed") -> dict[str, str]:
    """The variables that the package gives."""
    from flatshot.packages.environment import variables

    return variables(installed)


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
