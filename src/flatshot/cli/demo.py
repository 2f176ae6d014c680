"""`flatshot demo`: the whole road with the detector and the scenes that come with Flatshot."""

import logging
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flatshot.cli.progress import image_progress
from flatshot.cli.result_tables import results_table
from flatshot.formats import files

if TYPE_CHECKING:
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.evaluation.result import Result
    from flatshot.experiments.models import Models
    from flatshot.runtime.images import Pixels

_log = logging.getLogger("flatshot")

SCENES = 100


@click.command()
@click.option(
    "--output", "-o", default="flatshot-demo", show_default=True, metavar="DIR", help="to write to"
)
@click.option("--record/--norecord", default=True, help="keep the runs  [default: yes]")
def command(output: str, record: bool) -> None:
    """Export, convert, benchmark and look: what Flatshot does, in under a minute.

    The detector is a small SSD MobileNet V1 that was trained on scenes of drawn shapes; the data
    set is a hundred such scenes that it has not seen. Nothing is downloaded.
    """
    from flatshot.demo.detector_files import write_detector
    from flatshot.demo.scenes import write_dataset
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.experiments.keeping import keeping
    from flatshot.experiments.rows import measure, rows

    out = Path(output)
    write_detector(out / "detector")
    models = _make_models(out)
    _say(f"flatshot run {out / 'detector'} --dataset {out / 'scenes'}")
    dataset = CocoDataset(write_dataset(out / "scenes", SCENES))
    results = []
    with keeping(record, "demo") as keep:
        for row in rows(models):
            with image_progress() as progress:
                result = measure(row, dataset, progress=progress)
            results.append((row.title, result))
            _log.info("%s: mAP %.4f", row.title, result.mAP)
            if keep:
                facts = {"model": str(row.model), "dataset": str(dataset.annotations)}
                _log.info("recorded as %s", keep.keep(result, row.title, **facts))
    picture = out / "regular_and_fast_nms.png"
    _draw(models, out / "detector" / "labels.txt", picture)
    pages = _report(out, dataset, models, [result for _, result in results])
    click.echo(results_table(results))
    click.echo(f"\n{picture}: three scenes, regular NMS above, fast NMS below", err=True)
    for page, words in pages.items():
        click.echo(f"{page}: {words}; open it in a browser", err=True)


def _say(line: str) -> None:
    """Show the command that does the same."""
    click.echo(f"$ {line}", err=True)


def _make_models(out: Path) -> "Models":
    from flatshot.conversion.convert import convert
    from flatshot.experiments.models import Models
    from flatshot.models.export import export

    source = out / "detector"
    flags = "--max_detections auto"
    _say(f"flatshot export {source} -o {out} --use_regular_nms {flags}")
    regular = export(source, use_regular_nms=True, max_detections="auto")
    graph, _ = regular.save(out)
    fast = export(source, max_detections="auto")
    steps = (
        (f"{graph}", regular, "detect.tflite", False),
        (f"{source} {flags}", fast, "detect_fast.tflite", False),
        (f"{graph} --cut", regular, "detect_cut.tflite", True),
    )
    paths = []
    for words, what, name, cut in steps:
        _say(f"flatshot convert {words} -o {out / name}")
        model = convert(what, cut=cut)
        paths.append(model.save(out / name))
        _log.info("%s", model.summary())
    return Models(regular=paths[0], fast=paths[1])


def _draw(models: "Models", labels: Path, target: Path) -> None:
    from flatshot.demo.pictures import side_by_side
    from flatshot.runtime.detector import Detector

    detectors = [Detector(path, labels=labels) for path in (models.regular, models.fast)]
    _write_png(target, side_by_side(detectors))


def _report(
    out: Path, dataset: "CocoDataset", models: "Models", results: "list[Result]"
) -> dict[Path, str]:
    """The pages of the first run, and of the first two side by side; what each shows."""
    from flatshot.report.page import write_report
    from flatshot.report.sources import study_of

    place = str(out / "scenes")
    regular, fast = (
        study_of(result, dataset, str(model), place)
        for result, model in zip(results, (models.regular, models.fast), strict=False)
    )
    return {
        write_report(out / "report.html", [regular]): "what was measured, seen",
        write_report(out / "comparison.html", [regular, fast]): "regular and fast side by side",
    }


def _write_png(target: Path, pixels: "Pixels") -> None:
    from PIL import Image

    with files.write_beside(target) as file:
        Image.fromarray(pixels).save(file, format="PNG", optimize=True)
