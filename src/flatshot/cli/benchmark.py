"""`flatshot benchmark`: how good and how fast a model is on a COCO-format data set."""

import logging
import os
from typing import TYPE_CHECKING, Any

import click

from flatshot.cli.ck_environment import ck_defaults
from flatshot.cli.detector_options import post_process_options, resize_option
from flatshot.cli.json_output import check_json, json_option, write_json
from flatshot.cli.places import place
from flatshot.cli.progress import image_progress
from flatshot.cli.result_tables import report, settings_report
from flatshot.formats.files import check_target
from flatshot.formats.postprocess import keywords

if TYPE_CHECKING:
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.evaluation.result import Result
    from flatshot.experiments.journals import Place
    from flatshot.runtime.detector import Detector

_log = logging.getLogger("flatshot")

# As `experiments.journals` and `evaluation.matching` have them, which would have to be loaded to
# say so.
NEWEST = "<newest>"
FEW = 50
BY = ("auto", "number", "name", "order")


class _Command(click.Command):
    """A command whose defaults come from CK's environment variables."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        defaults = {**ck_defaults(os.environ), **(extra.pop("default_map", None) or {})}
        return super().make_context(info_name, args, parent, default_map=defaults, **extra)


@click.command("benchmark", cls=_Command)
@click.argument("model", callback=place)
@click.option("--dataset", required=True, callback=place, help="Folder of a COCO-format data set.")
@click.option("--annotations", help="Its annotation file, where there are several.")
@click.option("--images", help="Its image folder, where it is not found by itself.")
@post_process_options
@click.option("--labels", callback=place, help="Names of the classes: a file or a package.")
@click.option("--count", type=click.IntRange(min=1), help="Batches to process; all by default.")
@click.option("--skip", type=click.IntRange(min=0), default=0, help="Batches to leave out first.")
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Images a batch, for --count and --skip; the model takes them one by one.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Threads of the interpreter whose latency is measured.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Single-thread interpreters side by side, one a core by default; 1 is one interpreter "
    "of --threads threads.",
)
@click.option(
    "--repetitions",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Passes over the images; the later ones are only timed.",
)
@resize_option
@click.option(
    "--rounding",
    type=click.Choice(["exact", "ck"]),
    default="exact",
    show_default=True,
    help="ck: boxes to 2 decimals and scores to 3, as in CK's files.",
)
@click.option(
    "--categories",
    type=click.Choice(BY),
    default="auto",
    show_default=True,
    help="How a class finds its category: by number (class + 1 is the id), by name, by order (the "
    "first class is the category of the lowest id); auto: by name where numbers contradict names.",
)
@click.option(
    "--metric",
    type=click.Choice(["coco"]),
    default="coco",
    show_default=True,
    help="Which figures.",
)
@click.option("--per-class", is_flag=True, help="Print the AP of every category as well.")
@json_option
@click.option("--report", help="Write a page of the run to this file; see `flatshot report`.")
@click.option(
    "--resume",
    is_flag=False,
    flag_value=NEWEST,
    help="Go on with the journal in this file, or start one there; without a file, go on with the "
    "newest unfinished run of these settings.",
)
@click.option("--record", is_flag=True, help="Keep the run; see `flatshot records`.")
@click.option("--record-repo", "--record_repo", default="local", help="Where the record belongs.")
@click.option("--record-uoa", "--record_uoa", help="The name of the record.")
@click.option("--tags", default="", help="Tags of the record, divided by commas.")
@click.option("--verbose", is_flag=True, help="A line an image, on stderr.")
@click.option("--silent", is_flag=True, help="Leave out the report of the settings.")
def command(model: str, **options: Any) -> None:
    """Score MODEL on a COCO-format data set and time it.

    Settings of the post-processing that are left out are what the model holds. CK's environment
    variables (USE_NMS, NMS_SCORE_THRESHOLD, CK_BATCH_COUNT, ...) are defaults of the options.
    """
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.evaluation.run import Run
    from flatshot.experiments.journals import journal_place
    from flatshot.experiments.keeping import keeping
    from flatshot.runtime.detector import Detector

    if not options["record"] and (options["record_uoa"] or options["tags"]):
        raise click.UsageError("--record-uoa and --tags are for a run that is kept: add --record")
    dataset = CocoDataset(
        options["dataset"], annotations=options["annotations"], images=options["images"]
    )
    detector = Detector(
        model,
        **keywords(options),
        threads=options["threads"],
        resize=options["resize"],
        postprocess=options["postprocess"],
        labels=options["labels"],
    )
    quiet = options["json_file"] == "-"
    check_json(options["json_file"])
    if options["report"]:
        check_target(options["report"])
    with keeping(options["record"], options["tags"], options["record_repo"]) as keep:
        if not options["silent"] and not quiet:
            click.echo(settings_report(model, detector, dataset, options))
        _warn_of_ten(detector)
        run = Run.of(detector, dataset, rounding=options["rounding"], workers=options["workers"])
        journal = journal_place(run.to_json(), options["resume"])
        result = _run(detector, dataset, journal, options)
        if not quiet:
            click.echo(report(result, per_class=options["per_class"]))
        content = {"model": model, "dataset": str(dataset.annotations), **result.to_json()}
        try:
            if keep:
                facts = {"model": model, "dataset": options["dataset"]}
                content["record"] = keep.keep(result, options["record_uoa"], **facts)
        finally:
            # What was measured is written, whatever becomes of the record.
            write_json(options["json_file"], content)
        if keep and not quiet:
            click.echo(f"recorded as {content['record']}")
        if options["report"]:
            from flatshot.report.page import write_report
            from flatshot.report.sources import study_of

            write_report(options["report"], [study_of(result, dataset, model, options["dataset"])])
        journal.done()


def _warn_of_ten(detector: "Detector") -> None:
    """Many a file holds the official default of 10, where COCO's figures count 100."""
    held = detector.baked and detector.baked.max_detections
    if held and held < FEW and detector.settings.max_detections == held:
        _log.warning(
            "the model holds %d detections an image, and COCO's figures count up to 100: "
            "--max-detections 100 shows what it can do (mAP 0.188 -> 0.204 on 310 photographs)",
            held,
        )


def _run(
    detector: "Detector", dataset: "CocoDataset", journal: "Place", options: dict[str, Any]
) -> "Result":
    from flatshot.evaluation.evaluate import evaluate

    try:
        with image_progress(options["verbose"]) as progress:
            result = evaluate(
                detector,
                dataset,
                count=options["count"],
                skip=options["skip"],
                batch_size=options["batch_size"],
                workers=options["workers"],
                repetitions=options["repetitions"],
                rounding=options["rounding"],
                categories=options["categories"],
                resume=journal.path,
                progress=progress,
            )
    except KeyboardInterrupt:
        if journal.path is not None and journal.path.exists():
            click.echo(
                f"flatshot: to go on, give the same command with --resume {str(journal.path)!r}",
                err=True,
            )
        raise
    return result
