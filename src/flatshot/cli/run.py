"""`flatshot run`: the whole road of any model: install, export, convert, benchmark, one table."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flatshot.cli.detector_options import resize_option
from flatshot.cli.json_output import check_json, json_option, write_json
from flatshot.cli.packages_menu import located, open_packages
from flatshot.cli.progress import image_progress
from flatshot.cli.result_tables import results_table
from flatshot.errors import ConfigError

if TYPE_CHECKING:
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.evaluation.result import Result
    from flatshot.experiments.keeping import Keeping
    from flatshot.experiments.models import Models
    from flatshot.experiments.rows import Row
    from flatshot.packages.catalogue import Package
    from flatshot.packages.install import Packages

_log = logging.getLogger("flatshot")

COCO = "coco-2017-val"
DEMO = ("demo-detector", "demo-scenes")


@click.command("run")
@click.argument("model")
@click.option("--dataset", help="A COCO-format data set: a folder, or a package's name or tags.")
@click.option("--output", "-o", metavar="DIR", help="For the models.  [default: flatshot-run/NAME]")
@click.option("--count", type=click.IntRange(min=1), help="Images to process; all by default.")
@click.option("--workers", type=click.IntRange(min=1), help="Interpreters side by side.")
@resize_option
@click.option("--record", is_flag=True, help="Keep the runs; see `flatshot records`.")
@click.option("--tags", default="", help="Tags of the records, divided by commas.")
@json_option
@click.option("--quiet", is_flag=True, help="Take the first of several packages.")
def command(model: str, dataset: str | None, quiet: bool, **options: Any) -> None:
    """Install, export, convert and benchmark MODEL, and print one table.

    MODEL is a path (checkpoint, .pb, .pbtxt, .tflite), or a package's name or tags. Without
    --dataset the demo's detector is measured on the demo's scenes, and any other model on COCO 2017
    where that is installed.
    """
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.experiments.keeping import keeping
    from flatshot.experiments.models import make_models, name_of

    if options["tags"] and not options["record"]:
        raise click.UsageError("--tags are for runs that are kept: add --record")
    check_json(options["json_file"])
    packages = open_packages()
    with keeping(options["record"], options["tags"]) as keep:
        path, package = located(packages, model, kind="model", quiet=quiet)
        folder = CocoDataset(_dataset(packages, package, dataset, quiet=quiet))
        name = package.name if package else name_of(path)
        models = make_models(path, Path(options["output"] or Path("flatshot-run") / name))
        _measure_all(models, folder, keep, options)


def _measure_all(
    models: "Models", dataset: "CocoDataset", keep: "Keeping | None", options: dict[str, Any]
) -> None:
    """Measure the rows; what is measured is written and printed even if keeping it fails."""
    from flatshot.experiments.rows import measure, rows

    measuring = {key: options[key] for key in ("resize", "count", "workers")}
    results: list[tuple[Row, Result]] = []
    try:
        for row in rows(models):
            _log.info("%s: %s", row.model.name, row.title)
            with image_progress() as progress:
                results.append((row, measure(row, dataset, progress=progress, **measuring)))
            if keep:
                facts = {"model": str(row.model), "dataset": str(dataset.annotations)}
                _log.info("recorded as %s", keep.keep(results[-1][1], row.title, **facts))
    finally:
        if results:
            write_json(options["json_file"], [_entry(row, result) for row, result in results])
            if options["json_file"] != "-":
                click.echo(results_table([(row.title, result) for row, result in results]))


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


def _entry(row: "Row", result: "Result") -> dict[str, Any]:
    return {"title": row.title, "model": str(row.model), **result.to_json()}
