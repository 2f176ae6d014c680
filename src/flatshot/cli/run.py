"""`flatshot run`: the whole road of any model: install, export, convert, benchmark, one table."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flatshot.cli.benchmark import show_progress
from flatshot.cli.detector_options import resize_option
from flatshot.cli.install import choose, open_packages, progress_bar, search
from flatshot.cli.tables import table
from flatshot.errors import ConfigError, PackageError
from flatshot.formats.files import write_bytes

if TYPE_CHECKING:
    from flatshot.compiler.compile import Model
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.evaluation.evaluate import Result
    from flatshot.packages.catalogue import Package
    from flatshot.packages.install import Packages
    from flatshot.runtime.images import Resize

_log = logging.getLogger("flatshot")

LOW_THRESHOLD = 0.00001
COCO = "coco-2017-val"
DEMO = ("demo-detector", "demo-scenes")


@dataclass(frozen=True)
class Models:
    """The .tflite files to measure: two of a checkpoint, and otherwise one that is both."""

    regular: Path
    fast: Path


@dataclass(frozen=True)
class Row:
    """One line of the table: what it is called, the model, and what overrides its settings."""

    title: str
    model: Path
    overrides: dict[str, Any]


@click.command("run")
@click.argument("model")
@click.option("--dataset", help="A COCO-format data set: a folder, or a package's name or tags.")
@click.option("--output", "-o", metavar="DIR", help="For the models.  [default: flatshot-run/NAME]")
@click.option("--count", type=click.IntRange(min=1), help="Images to process; all by default.")
@click.option("--workers", type=click.IntRange(min=1), help="Interpreters side by side.")
@resize_option
@click.option("--record", is_flag=True, help="Keep the runs; see `flatshot records`.")
@click.option("--tags", default="", help="Tags of the records, divided by commas.")
@click.option("--json", "json_file", help="Write the table to this file as JSON.")
@click.option("--quiet", is_flag=True, help="Take the first of several packages.")
def command(model: str, dataset: str | None, quiet: bool, **options: Any) -> None:
    """Install, export, convert and benchmark MODEL, and print one table.

    MODEL is a path (checkpoint, .pb, .pbtxt, .tflite), or a package's name or tags. Without
    --dataset the demo's detector is measured on the demo's scenes, and any other model on COCO 2017
    where that is installed.
    """
    from flatshot.evaluation.dataset import CocoDataset

    packages = open_packages()
    path, package = located(packages, model, kind="model", quiet=quiet)
    folder = CocoDataset(_dataset(packages, package, dataset, quiet=quiet))
    name = package.name if package else _name(path)
    models = make_models(path, Path(options["output"] or Path("flatshot-run") / name))
    measuring = {key: options[key] for key in ("resize", "count", "workers", "record", "tags")}
    results = []
    for row in rows(models):
        _log.info("%s: %s", row.model.name, row.title)
        results.append((row, measure(row, folder, **measuring)))
    click.echo(results_table(results))
    if options["json_file"]:
        text = json.dumps([_entry(row, result) for row, result in results], indent=2)
        write_bytes(options["json_file"], f"{text}\n".encode())


def _name(path: Path) -> str:
    """What to call the models of what is at `path`; the dots of a folder's name are no suffix."""
    return (path.resolve().name if path.is_dir() else path.stem) or "model"


def located(
    packages: "Packages", text: str, *, kind: str, quiet: bool
) -> tuple[Path, "Package | None"]:
    """The path that `text` is, or that of the package it names, which is installed if need be.

    Raises:
        ConfigError: it is a package of another kind.
        PackageError: it is neither path nor package, or cannot be installed.
    """
    path = Path(text)
    if path.exists() or path.with_name(f"{path.name}.index").exists():
        return path, None
    package = choose(_candidates(packages, text, kind), text, quiet=quiet)
    with progress_bar(quiet=quiet) as on_progress:
        return packages.install(package, on_progress=on_progress).path, package


def _candidates(packages: "Packages", text: str, kind: str) -> list["Package"]:
    try:
        found = search(packages, text)
    except PackageError as error:
        raise PackageError(f"{text!r} is no path that exists, and {error}") from error
    fitting = [package for package in found if package.kind == kind]
    if not fitting:
        raise ConfigError(f"{text!r} is a {found[0].kind}, and a {kind} is needed")
    return fitting


def _dataset(
    packages: "Packages", package: "Package | None", dataset: str | None, *, quiet: bool
) -> Path:
    if dataset is not None:
        return located(packages, dataset, kind="dataset", quiet=quiet)[0]
    if package is not None and package.name == DEMO[0]:
        return located(packages, DEMO[1], kind="dataset", quiet=quiet)[0]
    for known in packages.catalogue.names.get(COCO, ()):
        if found := packages.installed(known):
            return found.path
    raise ConfigError(
        f"on which data set? give --dataset FOLDER, or `flatshot install {COCO}` (1.07 GB) first"
    )


def make_models(path: Path, output: Path) -> Models:
    """The .tflite models of what is at `path`, written into `output`.

    Of a checkpoint these are `detect_regular_nms.tflite`, `detect_fast_nms.tflite` and, without
    post-processing, `detect_no_nms.tflite`, as Collective Knowledge called them; of a graph
    `detect.tflite`. A .tflite is its own model.

    Raises:
        FlatshotError: it cannot be read, exported, converted or written.
    """
    if path.suffix == ".tflite":
        return Models(path, path)
    if path.suffix in (".pb", ".pbtxt"):
        from flatshot.conversion.convert import convert

        model = convert(path).save(output / "detect.tflite")
        return Models(model, model)
    files = {
        "detect_regular_nms.tflite": (True, False),
        "detect_fast_nms.tflite": (False, False),
        "detect_no_nms.tflite": (True, True),
    }
    regular, fast, _ = (
        _converted(path, regular=regular, cut=cut).save(output / name)
        for name, (regular, cut) in files.items()
    )
    return Models(regular, fast)


def _converted(checkpoint: Path, *, regular: bool, cut: bool) -> "Model":
    from flatshot.conversion.convert import convert
    from flatshot.models.export import export

    graph = export(checkpoint, use_regular_nms=regular, max_detections="auto")
    return convert(graph, cut=cut)


def rows(models: Models) -> Iterator[Row]:
    """The lines of the original README's "Reference accuracy", of these models."""
    low = {"nms": "regular", "score_threshold": LOW_THRESHOLD}
    if models.regular == models.fast:
        yield Row("as the model is", models.fast, {})
        yield Row("regular NMS", models.fast, {"nms": "regular"})
        yield Row("fast NMS", models.fast, {"nms": "fast"})
    else:
        yield Row("regular NMS", models.regular, {})
        yield Row("fast NMS", models.fast, {})
        yield Row("fast graph, custom settings: regular NMS", models.fast, {"nms": "regular"})
    yield Row(f"regular NMS, score threshold {LOW_THRESHOLD:.5f}", models.fast, low)


def measure(
    row: Row,
    dataset: "CocoDataset",
    *,
    resize: "Resize" = "tensorflow",
    count: int | None = None,
    workers: int | None = None,
    record: bool = False,
    tags: str = "",
) -> "Result":
    """Benchmark the model of `row` with its settings, and keep the run where `record` says so."""
    from flatshot.evaluation.evaluate import evaluate
    from flatshot.runtime.detector import Detector

    detector = Detector(row.model, resize=resize, **row.overrides)
    with show_progress(False) as progress:
        result = evaluate(detector, dataset, count=count, workers=workers, progress=progress)
    if record:
        _record(row, dataset, result, tags)
    return result


def _record(row: Row, dataset: "CocoDataset", result: "Result", tags: str) -> None:
    from flatshot.records.store import Records

    with Records() as records:
        uid = records.add_result(
            result,
            name=row.title,
            tags=[tag for tag in tags.split(",") if tag.strip()],
            model=str(row.model),
            dataset=str(dataset.annotations),
        )
    _log.info("recorded as %s", uid)


def results_table(results: list[tuple[Row, "Result"]]) -> str:
    """The table of the original README's "Reference accuracy", with speed beside it."""
    header = ("settings", "mAP", "Recall", "mAP@.50IOU", "ms an image", "images/s")
    lines = []
    for row, result in results:
        latency, rate = result.timing.latency, result.timing.images_per_second[0]
        lines.append(
            (
                row.title,
                f"{result.mAP:.4f}",
                f"{result.recall:.4f}",
                f"{result.figures.named()['DetectionBoxes_Precision/mAP@.50IOU']:.4f}",
                "-" if latency is None else f"{1000 * latency.total.median:.1f}",
                "-" if rate is None else f"{rate:.1f}",
            )
        )
    return table(header, lines, right=(1, 2, 3, 4, 5))


def _entry(row: Row, result: "Result") -> dict[str, Any]:
    return {"settings": row.title, "model": str(row.model), **result.to_json()}
