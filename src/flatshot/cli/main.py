"""The `flatshot` command: finds the sub-command, runs it, and turns errors into exit codes.

Exit codes: 0 done, 1 a `FlatshotError` (one line on stderr), 2 misuse, 130 interrupted.
"""

import logging
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from flatshot.cli.terminal import visible, visible_lines
from flatshot.errors import FlatshotError
from flatshot.version import VERSION

# One file a command; a command's libraries are imported only when it is called.
COMMANDS = {
    "export": "checkpoint and pipeline.config to tflite_graph.pb",
    "convert": "checkpoint or graph to a .tflite",
    "edit": "change what is baked into a detector: settings, labels, its end",
    "quantize": "a smaller and faster form of a detector, after training",
    "inspect": "what a model, graph, checkpoint or config holds",
    "compare": "two .tflite models side by side on the same inputs",
    "detect": "find objects in images",
    "benchmark": "COCO accuracy and speed of a model on a data set",
    "sweep": "every combination of models and settings, in one table",
    "run": "the whole road for a package or a path, in one table",
    "find": "models, data sets and labels in the catalogue, by tags",
    "install": "fetch a package once, trusted by its hash",
    "env": "the variables that an installed package gives",
    "ck": "the Collective Knowledge command lines of the original README",
    "demo": "the whole road, with the detector that comes along",
    "report": "records and results as one HTML page",
    "serve": "a page on this machine to try models on",
    "records": "list, show, compare, export and delete recorded runs",
}


class _LazyGroup(click.Group):
    """A group that imports a sub-command's module only when that sub-command is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = import_module(f"flatshot.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        # Docstrings are raw; click keeps the lines of a paragraph behind a backspace character.
        command.help = command.help and command.help.replace("\\b\n", "\b\n")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_LazyGroup,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        # The original tools write underscores, most others hyphens: both mean the same.
        "token_normalize_func": lambda name: name.replace("-", "_"),
    },
)
@click.version_option(VERSION, prog_name="flatshot")
def _flatshot() -> None:
    """Single-shot detectors to TensorFlow Lite, with proof of how good and fast they are."""


class _StderrHandler(logging.Handler):
    """What the library has to say, on stderr; looks stderr up anew, for tests replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname.lower()}: "
        click.echo(f"flatshot: {level}{visible_lines(record.getMessage())}", err=True)


def run(argv: Sequence[str] | None = None) -> int:
    """Run `flatshot` with the arguments `argv` (those of the process by default).

    Returns:
        The exit code; nothing is raised but what is a bug.
    """
    log = logging.getLogger("flatshot")
    log.handlers[:] = [_StderrHandler()]
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        arguments = list(sys.argv[1:] if argv is None else argv)
        result = _flatshot.main(arguments, prog_name="flatshot", standalone_mode=False)
    except click.UsageError as error:
        error.show()
        return 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("flatshot: interrupted", err=True)
        return 130
    except FlatshotError as error:
        click.echo(f"flatshot: error: {visible(' '.join(str(error).split()))}", err=True)
        return 1
    except BrokenPipeError:
        # The reader of our output went away (`flatshot inspect x | head`): stop quietly.
        sys.stderr.close()
        return 1
    except OSError as error:
        # Reading and writing files is dealt with where it happens: what is left is stdout itself.
        click.echo(f"flatshot: error: cannot write the output: {error.strerror}", err=True)
        return 1
    except RuntimeError as error:
        # Python 3.11 wraps an interrupt that comes while a dataclass is being made.
        if not isinstance(error.__cause__, KeyboardInterrupt):
            raise
        click.echo("flatshot: interrupted", err=True)
        return 130
    return result if isinstance(result, int) else 0


def main() -> None:
    """The entry point of the installed `flatshot` command."""
    sys.exit(run())


if __name__ == "__main__":
    main()
