"""`flatshot compare`: two models side by side on the same input."""

import math
from dataclasses import asdict
from typing import Any

import click

from flatshot.cli.json_output import check_json, json_option, write_json
from flatshot.cli.places import place
from flatshot.cli.tables import table
from flatshot.runtime.comparison import TensorDifference, compare


@click.command()
@click.argument("first", callback=place)
@click.argument("second", callback=place)
@click.option("--image", metavar="FILE", help="the input  [default: noise from a fixed seed]")
@click.option(
    "--top",
    type=click.IntRange(0),
    default=10,
    show_default=True,
    help="tensors to list; 0 for all",
)
@json_option
def command(first: str, second: str, image: str | None, top: int, json_file: str | None) -> None:
    """Run two .tflite models on the same input and say how far apart they come out.

    Outputs first, then the tensors that both have by name, the worst first.
    """
    check_json(json_file)
    comparison = compare(first, second, image)
    write_json(json_file, _without_nan(asdict(comparison)))
    if json_file == "-":
        return
    click.echo(_table("output", comparison.outputs))
    shown = comparison.tensors[: top or None]
    if shown:
        click.echo("\n" + _table("tensor", shown))
    rest = len(comparison.tensors) - len(shown)
    click.echo(
        f"\n{len(comparison.tensors)} tensors in common"
        + (f" ({rest} not shown: --top 0)" if rest else "")
        + f", {comparison.only[0]} only in {first}, {comparison.only[1]} only in {second}",
        err=True,
    )


def _without_nan(value: Any) -> Any:
    """JSON has no nan: null stands for a difference that there is not."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _table(title: str, rows: tuple[TensorDifference, ...]) -> str:
    cells = [
        [*map(_number, (row.largest, row.mean, row.scale)), _shapes(row), row.name] for row in rows
    ]
    return table(["largest", "mean", "of", "shape", title], cells, right=(0, 1, 2))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


def _shapes(row: TensorDifference) -> str:
    left, right = (f"[{', '.join(map(str, shape))}]" for shape in row.shapes)
    if left == right:
        return left
    compared = "not compared" if math.isnan(row.largest) else "the rows of both compared"
    return f"{left} and {right}: {compared}"
