"""What `--json FILE` asks for."""

import json
from typing import Any

import click

from flatshot.formats.files import write_bytes


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
