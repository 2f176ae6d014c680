"""`flatshot quantize`: a detector of real numbers to one of 8 bits or halves, after training."""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from flatshot.cli.image_arguments import find_images
from flatshot.cli.places import place
from flatshot.cli.tables import table
from flatshot.cli.terminal import can_show
from flatshot.errors import FileError

_log = logging.getLogger("flatshot")


@click.command()
@click.argument("source", callback=place)
@click.option("--output_file", "-o", required=True, metavar="FILE", help="the .tflite to write")
@click.option(
    "--images",
    multiple=True,
    callback=place,
    metavar="PLACE",
    help="images like those that the detector will see: files, folders, data sets",
)
@click.option(
    "--count",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="how many of them are used, spread evenly",
)
@click.option(
    "--to",
    type=click.Choice(["int8", "float16", "weights"]),
    default="int8",
    show_default=True,
    help="integers throughout; halves; or filters in int8 and arithmetic in real numbers",
)
@click.option(
    "--input",
    "input_type",
    type=click.Choice(["float32", "float", "uint8", "int8"]),
    default="float32",
    show_default=True,
    help="of int8: what the model's input is made of",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="REGEX",
    help="of int8: tensors whose operators stay in real numbers",
)
@click.option(
    "--ranges",
    metavar="FILE",
    help="with --images keep the ranges that were found in FILE; without, take them from it",
)
@click.option(
    "--accuracy",
    callback=place,
    metavar="DATASET",
    help="measure both models on a data set in the layout of COCO, and print what is lost",
)
@click.option("--json", "as_json", is_flag=True, help="print the figures as JSON on stdout")
def command(
    source: str,
    output_file: str,
    images: tuple[str, ...],
    count: int,
    to: str,
    input_type: str,
    keep: tuple[str, ...],
    ranges: str | None,
    accuracy: str | None,
    as_json: bool,
) -> None:
    """Write a smaller and faster form of a detector.

    SOURCE is whatever `convert` takes, or a .tflite of real numbers. One of unsigned 8 bits, as
    TOCO made them, becomes int8 with a scale for each channel without any image.
    """
    from flatshot.runtime.quantize import quantize

    if to != "int8" and (images or ranges or keep or input_type not in ("float32", "float")):
        raise click.UsageError(f"--to {to} takes no --images, --ranges, --keep and --input")
    paths = _spread(_paths(images), count)
    kind: Any = "float32" if input_type == "float" else input_type
    with _progress(len(paths)) as update:
        found = _ranges(source, paths, ranges, update) if ranges else None
        model = quantize(
            source,
            paths,
            to=to,  # type: ignore[arg-type]
            count=count,
            input_type=kind,
            keep=keep,
            ranges=found,
            progress=update,
        )
    path = model.save(output_file)
    _log.info("%s", model.summary())
    figures: dict[str, Any] = {"path": str(path), "bytes": path.stat().st_size}
    if accuracy:
        figures["accuracy"] = _accuracy(source, path, accuracy)
    if as_json:
        click.echo(json.dumps(figures, indent=2))
    else:
        click.echo(path)


def _paths(places: Sequence[str]) -> list[Path]:
    """The images of places.

    Raises:
        FileError: a place holds none.
    """
    found = find_images(places)
    if found.missing:
        raise FileError(f"no images in {', '.join(found.missing)}: give files or folders of them")
    return found.paths


def _spread(paths: list[Path], count: int) -> list[Path]:
    """`count` of the paths, evenly: folders are often sorted by what the images show."""
    count = min(count, len(paths))
    return [paths[number * len(paths) // count] for number in range(count)]


def _ranges(
    source: str, paths: list[Path], place: str, progress: Callable[[int], None]
) -> dict[str, Any]:
    from flatshot.formats.files import read_bytes, write_bytes
    from flatshot.runtime.calibration import read_ranges, write_ranges
    from flatshot.runtime.quantize import measure

    if not paths:
        return dict(read_ranges(read_bytes(place)))
    found = measure(source, paths, count=len(paths), progress=progress)
    write_bytes(place, write_ranges(found).encode())
    return found


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, or nothing."""
    if not total or not can_show():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("images", total=total)
        yield lambda done: bar.update(task, completed=done)


def _accuracy(source: str, quantized: Path, dataset: str) -> list[dict[str, Any]]:
    """Both models on a data set, as a table on stderr and as figures."""
    from flatshot.conversion.convert import convert
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.evaluation.evaluate import evaluate
    from flatshot.runtime.detector import Detector

    before: Any = source if source.endswith(".tflite") else convert(source, inference_type="FLOAT")
    size = Path(source).stat().st_size if isinstance(before, str) else len(before.to_bytes())
    data = CocoDataset(dataset)
    rows: list[dict[str, Any]] = []
    for name, model, length in (
        ("before", before, size),
        ("quantised", quantized, quantized.stat().st_size),
    ):
        result = evaluate(Detector(model), data)
        latency = result.timing.latency
        rows.append(
            {
                "model": name,
                "mAP": result.mAP,
                "recall": result.recall,
                "network_ms": None if latency is None else 1000 * latency.network.median,
                "bytes": length,
            }
        )
    cells = [
        [
            f"{100 * row['mAP']:.2f}",
            f"{100 * row['recall']:.2f}",
            "-" if row["network_ms"] is None else f"{row['network_ms']:.2f}",
            f"{row['bytes'] / 1e6:.2f}",
            row["model"],
        ]
        for row in rows
    ]
    heads = ["mAP", "Recall", "ms an image", "MB", "model"]
    click.echo(table(heads, cells, right=(0, 1, 2, 3)), err=True)
    return rows
