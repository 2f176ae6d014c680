"""What `--json FILE` asks for."""

import json
from typing import Any

import click

from flatshot.formats.files import check_target, write_bytes


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
