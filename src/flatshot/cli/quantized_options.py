"""The flags of toco that say how a model computes with integers, as arguments of `convert`."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import click

_log = logging.getLogger("flatshot")
F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "--inference_type",
        metavar="TYPE",
        help="FLOAT, QUANTIZED_UINT8 or INT8  [default: what the source was trained for]",
    ),
    click.option(
        "--mean_values",
        "--mean_value",
        default="",
        metavar="NUMBERS",
        help="of each input, the integer that stands for 0, ',' between them  [default: 128]",
    ),
    click.option(
        "--std_values",
        "--std_value",
        "--std_dev_values",
        default="",
        metavar="NUMBERS",
        help="of each input, how many integers there are to 1  [default: 128]",
    ),
    click.option(
        "--change_concat_input_ranges/--nochange_concat_input_ranges",
        default=None,
        help="let concatenations take the parameters of their first input  [default: as toco, "
        "true where --inference_type is given]",
    ),
    click.option(
        "--default_ranges_min",
        type=float,
        metavar="NUMBER",
        help="least number of tensors whose range training did not find",
    ),
    click.option("--default_ranges_max", type=float, metavar="NUMBER", help="the largest"),
)


def quantized_options(command: F) -> F:
    """`command` with toco's flags of quantised models."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def quantized_arguments(options: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `convert` that the flags say; they are taken out of `options`.

    Raises:
        click.UsageError: a list is none of numbers, or one end of a range is missing.
    """
    low, high = options.pop("default_ranges_min"), options.pop("default_ranges_max")
    if (low is None) != (high is None):
        raise click.UsageError("--default_ranges_min and --default_ranges_max go together")
    kind = options.pop("inference_type")
    arguments = {
        "inference_type": kind,
        "mean_values": _numbers("--mean_values", options.pop("mean_values")),
        "std_values": _numbers("--std_values", options.pop("std_values")),
        "change_concat_input_ranges": options.pop("change_concat_input_ranges"),
        "default_ranges": None if low is None else (low, high),
    }
    given = [name for name, value in arguments.items() if value not in (None, ())]
    if kind and kind.upper().startswith("FLOAT") and len(given) > 1:
        _log.info("a FLOAT model takes its input as it is: %s is not used", ", ".join(given[1:]))
    return arguments


def _numbers(flag: str, text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.strip("'\"").split(",") if part.strip())
    except ValueError:
        raise click.UsageError(f"{flag} {text}: write numbers with ',' between them") from None
