"""`flatshot benchmark`: how good and how fast a model is on a COCO-format data set."""

import contextlib
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from flatshot.cli.ck_environment import ck_defaults
from flatshot.cli.detector_options import post_process_options, resize_option
from flatshot.cli.json_output import write_json
from flatshot.cli.places import place
from flatshot.cli.terminal import can_show
from flatshot.formats.files import check_target
from flatshot.formats.postprocess import keywords

if TYPE_CHECKING:
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.evaluation.evaluate import Progress, Result
    from flatshot.runtime.detector import Detector

LOG = logging.getLogger("flatshot")

# `--resume` without a file: go on with the newest unfinished run of the same settings.
NEWEST = "<newest>"
# Journals of runs that were left unfinished are kept so long.
ABANDONED_SECONDS = 30 * 24 * 3600


# As `evaluation.matching` knows them, which would have to be loaded to say so.
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
@click.option("--labels", help="Names of the classes: .txt or .pbtxt.")
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
@click.option("--json", "json_file", help="Write the result to this file; - for stdout alone.")
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
    if options["json_file"] and not quiet:
        check_target(options["json_file"])
    if not options["silent"] and not quiet:
        click.echo(_settings_report(model, detector, dataset, options))
    result = _run(detector, dataset, options)
    if not quiet:
        click.echo(_report(result, per_class=options["per_class"]))
    content = {"model": model, "dataset": str(dataset.annotations), **result.to_json()}
    if options["record"]:
        content["record"] = _record(
            result, options, {"model": model, "dataset": options["dataset"]}
        )
        if not quiet:
            click.echo(f"recorded as {content['record']}")
    write_json(options["json_file"], content)


def _run(detector: "Detector", dataset: "CocoDataset", options: dict[str, Any]) -> "Result":
    from flatshot.evaluation.evaluate import evaluate
    from flatshot.evaluation.run import Run

    run = Run.of(detector, dataset, rounding=options["rounding"], workers=options["workers"])
    journal, own = _journal(options["resume"], run.to_json())
    try:
        with show_progress(options["verbose"]) as progress:
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
                resume=journal,
                progress=progress,
            )
    except KeyboardInterrupt:
        if journal is not None and journal.exists():
            click.echo(
                f"flatshot: to go on, give the same command with --resume {str(journal)!r}",
                err=True,
            )
        raise
    if own and journal is not None:
        journal.unlink(missing_ok=True)
    return result


def _journal(resume: str | None, header: dict[str, Any]) -> tuple[Path | None, bool]:
    """The journal's file, and whether it is ours to delete when the run is done.

    Where Flatshot's home cannot be written there is none, unless one was asked for.
    """
    from flatshot.home import home

    if resume is not None and resume != NEWEST:
        return Path(resume), False
    key = hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:16]
    folder = home() / "runs"
    if resume == NEWEST:
        left = sorted(folder.glob(f"{key}-*.journal"), key=lambda path: path.stat().st_mtime)
        if left:
            return left[-1], True
        LOG.info("no unfinished run of this model, data set and settings: starting a new one")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
    except OSError:
        writable = False
    if not writable and resume is None:
        LOG.warning("this run cannot be resumed: %s cannot be written; set FLATSHOT_HOME", folder)
        return None, True
    _sweep(folder)
    return folder / f"{key}-{os.urandom(4).hex()}.journal", True


def _sweep(folder: Path) -> None:
    """Delete the journals of runs that nobody has gone on with for a month."""
    for path in folder.glob("*.journal"):
        # Another process may be sweeping too; and what cannot be deleted does not stop a run.
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED_SECONDS:
                path.unlink()


@contextlib.contextmanager
def show_progress(verbose: bool) -> Iterator["Callable[[Progress], None] | None"]:
    """What to do after each image: a line, a bar on a terminal, or nothing."""
    if verbose:
        yield _say_image
    elif not can_show():
        yield None
    else:
        with _bar() as update:
            yield update


def _say_image(progress: "Progress") -> None:
    if progress.image is None or progress.outcome is None:
        return
    outcome = progress.outcome
    if outcome.error is not None:
        return  # the library has said so
    load, preprocess, network, nms = (1000 * value for value in outcome.seconds)
    click.echo(
        f"{progress.done}/{progress.total} {progress.image.name} "
        f"{outcome.width}x{outcome.height}: {len(outcome)} detections, load {load:.1f} ms, "
        f"preprocess {preprocess:.1f} ms, network {network:.1f} ms, NMS {nms:.1f} ms",
        err=True,
    )


@contextlib.contextmanager
def _bar() -> Iterator["Callable[[Progress], None]"]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[int, TaskID] = {}

        def update(progress: "Progress") -> None:
            if progress.repetition not in tasks:
                name = "images" if progress.repetition == 1 else f"pass {progress.repetition}"
                tasks[progress.repetition] = bar.add_task(
                    name, total=progress.total, completed=progress.done, rate=""
                )
                return
            task = tasks[progress.repetition]
            speed = bar.tasks[task].speed
            rate = f"{speed:.1f} images/s" if speed else ""
            bar.update(task, completed=progress.done, rate=rate)

        yield update


def _settings_report(
    model: str, detector: "Detector", dataset: "CocoDataset", options: dict[str, Any]
) -> str:
    baked = {} if detector.baked is None else asdict(detector.baked)
    lines = [
        f"model: {model} (sha256 {detector.sha256})",
        f"data set: {dataset.annotations}, {len(dataset)} images (sha256 {dataset.sha256})",
        f"resize: {options['resize']}, rounding: {options['rounding']}, "
        f"post-processing by: {detector.postprocess}",
        "post-processing settings in force:",
    ]
    for name, value in asdict(detector.settings).items():
        was = baked.get(name, value)
        lines.append(f"  {name}: {value}" + ("" if was == value else f" (the model holds {was})"))
    return "\n".join(lines)


def summary(result: "Result") -> str:
    """The Summary block of the original README: same words, same order, true times."""
    timing = result.timing
    return "\n".join(
        (
            "Summary:",
            "-" * 31,
            f"Graph loaded in {timing.graph_load:f}s",
            f"All images loaded in {timing.images_load:f}s",
            f"All images detected in {timing.detection:f}s",
            f"Average detection time: {timing.detection / result.images:f}s",
            f"mAP: {result.mAP!r}",
            f"Recall: {result.recall!r}",
            "-" * 32,
        )
    )


def _report(result: "Result", *, per_class: bool) -> str:
    parts = ["", summary(result), "", _figures_table(result)]
    if per_class:
        parts += ["", _per_class_table(result)]
    parts += ["", _times_table(result), "", *_counts(result)]
    return "\n".join(parts)


def _figures_table(result: "Result") -> str:
    return "\n".join(f"{name:40} {value:.6f}" for name, value in result.figures.named().items())


def _per_class_table(result: "Result") -> str:
    rows = (
        f"{name:40} {f'{value:.6f}' if value >= 0 else 'on no image'}"
        for name, value in result.per_class.items()
    )
    return "\n".join((f"{'AP@[.50:.95]':40}", *rows))


def _times_table(result: "Result") -> str:
    lines = []
    latency = result.timing.latency
    if latency is not None:
        threads = result.options["threads"]
        lines.append(
            f"latency of one image at a time, {latency.images} images, "
            f"{threads} thread{'s' if threads > 1 else ''}, ms"
        )
        lines.append(f"{'':12}" + "".join(f"{name:>9}" for name in asdict(latency.total)))
        for name in ("total", "load", "preprocess", "network", "nms"):
            values = (1000 * value for value in asdict(getattr(latency, name)).values())
            label = "NMS" if name == "nms" else name
            lines.append(f"{label:12}" + "".join(f"{value:9.2f}" for value in values))
        if result.run.postprocess == "op":
            lines.append("(the model's own operator does the NMS: its time is in the network's)")
    workers, each = result.timing.workers, result.options["worker_threads"]
    team = f"{workers} interpreter{'s' * (workers > 1)} of {each} thread{'s' * (each > 1)}"
    for number, rate in enumerate(result.timing.images_per_second, 1):
        if rate is not None:
            name = "images per second" + (f", pass {number}" if number > 1 else "")
            lines.append(f"{name}: {rate:.2f} ({team})")
    return "\n".join(lines)


def _counts(result: "Result") -> Iterator[str]:
    resumed = f", {result.resumed} of them from the journal" if result.resumed else ""
    yield f"images processed: {result.images}{resumed}"
    if result.missing:
        yield f"images missing: {result.missing}"
    if result.unreadable:
        yield f"images unreadable: {len(result.unreadable)}"
        yield from (f"  {name}: {reason}" for name, reason in result.unreadable.items())
    for reason, number in result.skipped.items():
        yield f"annotations left out: {number} ({reason})"
    if result.unknown:
        yield f"detections of categories that the data set does not know: {result.unknown}"


def _record(result: "Result", options: dict[str, Any], names: dict[str, str]) -> str:
    from flatshot.records.store import Records

    with Records() as records:
        return records.add_result(
            result,
            name=options["record_uoa"],
            repo=options["record_repo"],
            tags=[tag for tag in options["tags"].split(",") if tag.strip()],
            **names,
        )
