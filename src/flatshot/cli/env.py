"""`flatshot env`: the variables that an installed package gives, printed or set for a command."""

import shlex

import click

from flatshot.cli.packages_menu import installed_package, open_packages
from flatshot.cli.shells import run_command, run_shell


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
    context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]},
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
    from flatshot.packages.environment import variables as variables_of

    variables = variables_of(installed_package(open_packages(), ",".join(tags), quiet=quiet))
    if shell:
        return run_shell(variables)
    if given is not None:
        return run_command(given, variables)
    for name, value in variables.items():
        click.echo(f"export {name}={shlex.quote(value)}")
    return 0
