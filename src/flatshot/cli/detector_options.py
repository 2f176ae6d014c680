"""The options of whatever runs a detector: resizing and the settings of the post-processing."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_WHOLE, _NUMBER = click.IntRange(min=1), click.FloatRange(min=0, min_open=True)
_OPTIONS = (
    click.option(
        "--nms", type=click.Choice(["regular", "fast"]), help="Per class, or across classes."
    ),
    click.option(
        "--score-threshold",
        type=click.FloatRange(0, 1),
        help="Lowest score that is kept.  [default: what the model holds, as for all that follow]",
    ),
    click.option(
        "--iou-threshold",
        type=click.FloatRange(0, 1, min_open=True),
        help="Overlap above which the lower score goes.",
    ),
    click.option("--max-detections", type=_WHOLE, help="Detections kept of an image."),
    click.option("--detections-per-class", type=_WHOLE, help="Kept of a class (regular)."),
    click.option("--max-classes-per-detection", type=_WHOLE, help="Classes a box (fast)."),
    click.option("--num-classes", type=_WHOLE, help="Classes without background."),
    click.option("--scale-y", type=_NUMBER, help="Divisor of encoded y centres."),
    click.option("--scale-x", type=_NUMBER, help="Divisor of encoded x centres."),
    click.option("--scale-h", type=_NUMBER, help="Divisor of encoded heights."),
    click.option("--scale-w", type=_NUMBER, help="Divisor of encoded widths."),
    click.option(
        "--postprocess",
        type=click.Choice(["auto", "op", "numpy"]),
        default="auto",
        show_default=True,
        help="Let the model's own operator do it, or NumPy.",
    ),
)
# As the Detector calls them.
SETTINGS = (
    *("nms", "score_threshold", "iou_threshold", "max_detections", "detections_per_class"),
    *("max_classes_per_detection", "num_classes", "scale_y", "scale_x", "scale_h", "scale_w"),
)


def post_process_options(function: F) -> F:
    """Give a command the settings of the post-processing."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def resize_option(function: F) -> F:
    """Give a command the choice of resizing."""
    return click.option(
        "--resize",
        type=click.Choice(["tensorflow", "pillow", "opencv"]),
        default="tensorflow",
        show_default=True,
        help="Whose bilinear resizing.",
    )(function)
