"""How far a run or a download is: a bar on a terminal, a line an image, or nothing."""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import click

from flatshot.cli.terminal import can_show

if TYPE_CHECKING:
    from flatshot.evaluation.loop import Progress
    from flatshot.packages.install import OnProgress
    from flatshot.packages.install import Progress as Download


@contextlib.contextmanager
def image_progress(verbose: bool = False) -> Iterator["Callable[[Progress], None] | None"]:
    """What to do after each image: a line, a bar on a terminal, or nothing."""
    if verbose:
        yield _say_image
    elif not can_show():
        yield None
    else:
        with _bar() as update:
            yield update


def _say_image(progress: "Progress") -> None:
    if progress.image is None or progress.outcome is None or not progress.repetition:
        return  # a pass begins, or each image is looked at once more for its latency
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
                names = {0: "latency", 1: "images"}
                name = names.get(progress.repetition, f"pass {progress.repetition}")
                tasks[progress.repetition] = bar.add_task(
                    name, total=progress.total, completed=progress.done, rate=""
                )
                return
            task = tasks[progress.repetition]
            speed = bar.tasks[task].speed
            rate = f"{speed:.1f} images/s" if speed else ""
            bar.update(task, completed=progress.done, rate=rate)

        yield update


@contextlib.contextmanager
def download_progress(*, quiet: bool = False) -> Iterator["OnProgress | None"]:
    """What to call as bytes come: a bar on a terminal, or nothing."""
    if quiet or not can_show():
        yield None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        TaskID,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[tuple[str, int], TaskID] = {}

        def update(progress: "Download") -> None:
            key = (progress.package.name, progress.number)
            if key not in tasks:
                parts = len(progress.package.parts)
                which = f" {progress.number}/{parts}" if parts > 1 else ""
                tasks[key] = bar.add_task(progress.package.name + which, total=progress.total)
            bar.update(tasks[key], completed=progress.done, total=progress.total)

        yield update
