"""`flatshot sweep`: every combination of models and settings on a data set, in one table."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flatshot.cli.detector_options import Several, setting_lists
from flatshot.cli.json_output import check_json, json_option, write_json
from flatshot.cli.packages_menu import located, open_packages
from flatshot.cli.places import place
from flatshot.cli.progress import image_progress
from flatshot.cli.tables import table
from flatshot.formats.postprocess import keywords

if TYPE_CHECKING:
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.experiments.grid import Asked, Grid, Swept
    from flatshot.experiments.keeping import Keeping

_log = logging.getLogger("flatshot")

RESIZE = ("tensorflow", "pillow", "opencv")


@click.command("sweep")
@click.argument("models", nargs=-1, required=True)
@click.option("--dataset", required=True, callback=place, help="Folder of a COCO-format data set.")
@click.option("--annotations", help="Its annotation file, where there are several.")
@click.option("--images", help="Its image folder, where it is not found by itself.")
@setting_lists
@click.option(
    "--resize",
    type=Several(click.Choice(RESIZE)),
    default="tensorflow",
    show_default=True,
    metavar="A,B,...",
    help=f"Whose bilinear resizing: {', '.join(RESIZE)}.",
)
@click.option(
    "--threads",
    type=Several(click.IntRange(min=1)),
    default="1",
    show_default=True,
    metavar="A,B,...",
    help="Threads of the interpreter whose latency is measured.",
)
@click.option(
    "--operator-time",
    is_flag=True,
    help="Time the model's own operator on one thread too: that is what a phone pays.",
)
@click.option("--count", type=click.IntRange(min=1), help="Images to process; all by default.")
@click.option("--workers", type=click.IntRange(min=1), help="Interpreters side by side.")
@click.option(
    "--rounding", type=click.Choice(["exact", "ck"]), default="exact", help="As of benchmark."
)
@click.option("--resume", is_flag=True, help="Go on with an unfinished sweep of the same settings.")
@click.option("--record", is_flag=True, help="Keep each combination; see `flatshot records`.")
@click.option("--tags", default="", help="Tags of the records, divided by commas.")
@json_option
@click.option("--report", metavar="FILE", help="Write an HTML page of the Pareto front.")
@click.option("--quiet", is_flag=True, help="Take the first of several packages.")
def command(models: tuple[str, ...], **options: Any) -> None:
    r"""Measure MODELS with every combination of the settings, and sort them by AP.

    The network sees each image once for a model and a way of resizing: twenty settings cost little
    more than one. A * marks the Pareto front: no other one is as good and quicker, or better and as
    quick.

    \b
    flatshot sweep detect.tflite --dataset coco --nms regular,fast --score-threshold 0.3,0.05,1e-8
    flatshot sweep a.tflite b.tflite --dataset coco --max-detections 10,100 --record --tags phone
    """
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.experiments.grid import Asked, Grid
    from flatshot.experiments.keeping import keeping

    if options["tags"] and not options["record"]:
        raise click.UsageError("--tags are for runs that are kept: add --record")
    check_json(options["json_file"])
    check_json(options["report"])
    dataset = CocoDataset(options["dataset"], options["annotations"], options["images"])
    settings = {name: values for name, values in keywords(options).items() if values is not None}
    asked = Asked(
        count=options["count"],
        workers=options["workers"],
        rounding=options["rounding"],
        operator=options["operator_time"],
        resume=options["resume"],
    )
    with keeping(options["record"], options["tags"]) as keep:
        grid = Grid(
            models=[_model(text, quiet=options["quiet"]) for text in models],
            settings=settings,
            resize=options["resize"],
            threads=options["threads"],
        )
        swept = _sweep(grid, dataset, asked, keep, options["json_file"])
    if options["report"]:
        _report(swept, dataset, options["report"])


def _model(text: str, *, quiet: bool) -> Path:
    """The .tflite that `text` names, or one made of what it names."""
    from flatshot.experiments.models import make_models, name_of

    path, package = located(open_packages(), text, kind="model", quiet=quiet)
    name = package.name if package else name_of(path)
    return make_models(path, Path("flatshot-run") / name).regular


def _sweep(
    grid: "Grid",
    dataset: "CocoDataset",
    asked: "Asked",
    keep: "Keeping | None",
    json_file: str | None,
) -> "list[Swept]":
    """Measure, keep, print; what is measured is written and printed even if keeping it fails."""
    from flatshot.experiments.sweep import best_first, sweep

    done: list[Swept] = []
    records: dict[int, str] = {}
    try:
        with image_progress() as progress:
            for one in sweep(grid, dataset, asked, progress):
                done.append(one)
                if keep:
                    facts = {"model": str(one.model), "dataset": str(dataset.annotations)}
                    records[id(one)] = keep.keep(one.result, one.title, **facts)
    finally:
        if done:
            sorted_ = best_first(done)
            write_json(json_file, _entries(sorted_, records))
            if json_file != "-":
                click.echo(_table(sorted_))
    if records:
        _log.info("%d records kept; `flatshot records list` shows them", len(records))
    return done


def _table(swept: "Sequence[Swept]") -> str:
    """Model, what differs between combinations, figures, times."""
    from flatshot.experiments.sweep import front

    best = front(swept)
    columns = _columns(swept)
    operator = any(one.operator is not None for one in swept)
    header = ("", *columns, "mAP", "AP50", "Recall", "ms an image", *(["operator ms"] * operator))
    rows = []
    for number, one in enumerate(swept):
        figures = one.result.figures
        rows.append(
            (
                "*" if number in best else "",
                *(_shown(_cells(one)[name]) for name in columns),
                *(f"{value:.4f}" for value in (figures.mAP, figures.AP50, figures.recall)),
                f"{1000 * one.seconds:.2f}",
                *([_milliseconds(one.operator)] * operator),
            )
        )
    right = range(len(columns) + 1, len(header))
    note = "* on the Pareto front: none is as good and quicker, or better and as quick"
    return f"{table(header, rows, right=tuple(right))}\n\n{note}"


def _columns(swept: "Sequence[Swept]") -> list[str]:
    """The names of what was asked for, where not all have the same."""
    cells = [_cells(one) for one in swept]
    return [name for name in cells[0] if len({str(one[name]) for one in cells}) > 1]


def _cells(one: "Swept") -> dict[str, Any]:
    run = one.result.run
    return {
        "model": one.model.name,
        "resize": run.resize,
        "threads": one.result.options["threads"],
        **one.changes,
    }


def _shown(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:.2f}"


def _entries(swept: "Sequence[Swept]", records: dict[int, str]) -> list[dict[str, Any]]:
    from flatshot.experiments.sweep import front

    best = front(swept)
    return [
        {
            "title": one.title,
            "model": str(one.model),
            "pareto": number in best,
            "seconds": one.seconds,
            "operator_seconds": one.operator,
            **({"record": records[id(one)]} if id(one) in records else {}),
            **one.result.to_json(),
        }
        for number, one in enumerate(swept)
    ]


def _report(swept: "Sequence[Swept]", dataset: "CocoDataset", file: str) -> None:
    """The page of the combinations on the Pareto front, the best one first."""
    from flatshot.experiments.sweep import best_first, front
    from flatshot.report.page import write_report
    from flatshot.report.study import Study

    ordered = best_first(swept)
    studies = [
        Study(
            one.title,
            {
                "model": str(one.model),
                "dataset": str(dataset.annotations),
                **one.result.to_json(),
            },
            one.result.detections,
            dataset,
            one.result.times.latency,
        )
        for number, one in enumerate(ordered)
        if number in front(ordered)
    ]
    write_report(Path(file), studies)
    _log.info("%s: the %d on the Pareto front", file, len(studies))
