"""What `--json FILE` asks for."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import click

from flatshot.formats.files import check_target, write_bytes

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """Give a command `--json`, with one meaning everywhere: a file, or stdout alone."""
    return click.option(
        "--json",
        "json_file",
        metavar="FILE",
        is_flag=False,
        flag_value="-",
        help="Write JSON to this file; - (or no name at the end of the line) for stdout alone.",
    )(function)


def check_json(file: str | None) -> None:
    """Do nothing if `write_json` will be able to write to `file`; before long work.

    Raises:
        FileError: it cannot be written.
    """
    if file is not None and file != "-":
        check_target(file)


def write_json(file: str | None, content: Any) -> None:
    """Write `content` to `file`, to stdout where that is `-`, and nowhere where it is None.

    Raises:
        FileError: the file cannot be written.
    """
    if file is None:
        return
    text = json.dumps(content, indent=2)
    if file == "-":
        click.echo(text)
    else:
        write_bytes(file, f"{text}\n".encode())
