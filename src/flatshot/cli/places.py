"""Arguments that name a place: a path, or an installed package's name wherever a path does."""

from pathlib import Path

import click


def place(
    ctx: click.Context, param: click.Parameter, value: str | tuple[str, ...] | None
) -> str | tuple[str, ...] | None:
    """The callback of an option or argument that is a place, or several.

    Raises:
        PackageError: it names a package that is known and not installed.
    """
    if isinstance(value, tuple):
        return tuple(_resolve(text) for text in value)
    return value and _resolve(value)


def _resolve(text: str) -> str:
    try:
        if Path(text).exists():
            return text
    except (OSError, ValueError):
        return text
    # Only a name needs the catalogue: what exists is not kept waiting for it.
    from flatshot.packages.resolve import resolve

    return str(resolve(text))
