"""The options of export, which `flatshot convert` takes too when it starts from a checkpoint."""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import click

from flatshot.errors import ConfigError, UnsupportedError

F = TypeVar("F", bound=Callable[..., Any])


def _parse_detections(
    ctx: click.Context, param: click.Parameter, value: str
) -> int | Literal["auto"]:
    if value == "auto":
        return "auto"
    try:
        return int(value)
    except ValueError:
        raise click.BadParameter(f"{value!r} is neither a number nor 'auto'", ctx, param) from None


def _refuse_centernet(ctx: click.Context, param: click.Parameter, value: bool | str | None) -> None:
    if value:
        raise UnsupportedError(f"--{param.name} is for CenterNet, which is not built")


_OPTIONS = (
    click.option(
        "--pipeline_config_path",
        metavar="FILE",
        help="pipeline.config  [default: beside the checkpoint or above]",
    ),
    click.option(
        "--config_override",
        default="",
        metavar="TEXT",
        help="text format merged over the config: scalars replace, repeated fields append",
    ),
    click.option(
        "--max_detections",
        metavar="INTEGER|auto",
        default="10",
        callback=_parse_detections,
        show_default=True,
        help="boxes kept; 'auto' takes max_total_detections of the config",
    ),
    click.option(
        "--max_classes_per_detection",
        type=int,
        default=1,
        show_default=True,
        help="classes reported for each box (fast NMS)",
    ),
    click.option(
        "--detections_per_class",
        type=int,
        default=100,
        show_default=True,
        help="boxes kept for each class (regular NMS)",
    ),
    click.option(
        "--use_regular_nms/--nouse_regular_nms",
        "--ssd_use_regular_nms/--nossd_use_regular_nms",
        default=False,
        help="suppress class by class, not regardless of class  [default: no]",
    ),
    click.option(
        "--use_moving_averages/--nouse_moving_averages",
        default=None,
        help="read weights from their moving averages  [default: TF1 as the config says, TF2 no]",
    ),
    click.option(
        "--centernet_include_keypoints/--nocenternet_include_keypoints",
        default=False,
        callback=_refuse_centernet,
        expose_value=False,
        hidden=True,
    ),
    click.option(
        "--keypoint_label_map_path", callback=_refuse_centernet, expose_value=False, hidden=True
    ),
)
NAMES = (
    "pipeline_config_path",
    "config_override",
    "max_detections",
    "max_classes_per_detection",
    "detections_per_class",
    "use_regular_nms",
    "use_moving_averages",
)


def export_options(function: F) -> F:
    """Give a command the options of export."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def arguments(options: dict[str, Any]) -> dict[str, Any]:
    """The keyword arguments of `flatshot.export` from the parsed options, which are taken out."""
    found = {name: options.pop(name) for name in NAMES}
    found["pipeline_config"] = found.pop("pipeline_config_path")
    if found["pipeline_config"] == "":
        raise ConfigError("--pipeline_config_path is empty: give the path of a pipeline.config")
    return found
