"""The options of whatever runs a detector: resizing and the settings of the post-processing."""

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import click

from flatshot.formats.postprocess import DECLARED, Setting

F = TypeVar("F", bound=Callable[..., Any])


def post_process_options(function: F) -> F:
    """Give a command the settings of the post-processing, under their keywords."""
    for option in reversed(list(_options())):
        function = option(function)
    return function


def _options() -> Iterator[Callable[[F], F]]:
    for setting in DECLARED.values():
        first = " [default: what the model holds, as for all that follow]"
        note = first if setting.key == "nms_score_threshold" else ""
        yield click.option(setting.flag, type=_type(setting), help=setting.help + note)
    yield click.option(
        "--postprocess",
        type=click.Choice(["auto", "op", "numpy"]),
        default="auto",
        show_default=True,
        help="Let the model's own operator do it, or NumPy.",
    )


def _type(setting: Setting) -> "click.ParamType[Any]":
    if setting.type is bool:
        return click.Choice(["regular", "fast"])
    most = None if setting.most == math.inf else setting.most
    if setting.type is int:
        return click.IntRange(int(setting.least), int(setting.most))
    return click.FloatRange(setting.least, most, min_open=setting.above)


def setting_lists(function: F) -> F:
    """Give a command the settings of the post-processing as lists, under their keywords."""
    for setting in reversed(list(DECLARED.values())):
        option = click.option(
            setting.flag, type=Several(_type(setting)), metavar="A,B,...", help=setting.help
        )
        function = option(function)
    return function


class Several(click.ParamType):  # type: ignore[type-arg]  # generic for mypy alone
    """Values of a type with commas between them, each once, in their order."""

    name = "list"

    def __init__(self, one: "click.ParamType[Any]") -> None:
        """Values of the type `one`."""
        self._one = one

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[Any]:
        """The values; a part that is none is told as the type tells it."""
        if not isinstance(value, str):
            return list(value)
        parts = [part.strip() for part in value.split(",")]
        return list(dict.fromkeys(self._one.convert(part, param, ctx) for part in parts))


def resize_option(function: F) -> F:
    """Give a command the choice of resizing."""
    return click.option(
        "--resize",
        type=click.Choice(["tensorflow", "pillow", "opencv"]),
        default="tensorflow",
        show_default=True,
        help="Whose bilinear resizing.",
    )(function)
