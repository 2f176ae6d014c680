"""`flatshot install`: packages by tags or by name; and the choice among several."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from flatshot.cli.terminal import can_ask, can_show
from flatshot.errors import PackageError

if TYPE_CHECKING:
    from flatshot.packages.catalogue import Package, Query
    from flatshot.packages.install import OnProgress, Packages, Progress

T = TypeVar("T", bound="Package")

# The scenes of the demo's data set: as many as tell the figures apart in a few seconds.
DEMO_SCENES = 100


@click.command("install")
@click.argument("names", nargs=-1, metavar="[package] [NAME]...")
@click.option("--tags", default="", help="a,b,-c: all of a and b, and not c.")
@click.option("--quiet", is_flag=True, help="Take the first of several, and show no progress.")
@click.option("--again", is_flag=True, help="Install anew what is installed.")
def command(names: tuple[str, ...], tags: str, quiet: bool, again: bool) -> None:
    """Install packages, and print what each name stands for.

    A NAME is a package's, or tags with commas between them; `flatshot find` shows all. Of several
    that match, a terminal asks for one; elsewhere they are listed, unless --quiet takes the first.
    """
    words = names[1:] if names[:1] == ("package",) else names
    queries = [*words, *([tags] if tags.strip() else [])]
    if not queries:
        raise click.UsageError("give --tags=a,b, or a package's name; `flatshot find` shows all")
    packages = open_packages()
    chosen = [choose(search(packages, query), query, quiet=quiet) for query in queries]
    with progress_bar(quiet=quiet) as on_progress:
        for package in chosen:
            click.echo(packages.install(package, again=again, on_progress=on_progress).path)


def open_packages() -> "Packages":
    """The packages of this user's home, those of the demo included."""
    from flatshot.packages.install import Packages

    return Packages(builtins={"demo-detector": _write_detector, "demo-scenes": _write_scenes})


def _write_detector(folder: Path) -> None:
    """The checkpoint that comes with Flatshot."""
    from flatshot.demo.detector_files import write_detector

    write_detector(folder)


def _write_scenes(folder: Path) -> None:
    """Scenes that the demo's detector was not trained on: those of the seeds from 0."""
    from flatshot.demo.scenes import write_dataset

    write_dataset(folder, DEMO_SCENES)


def query_of(text: str) -> "Query":
    """The query that the user wrote as `a,b,-c`.

    Raises:
        ConfigError: it is none.
    """
    from flatshot.packages.catalogue import parse_query

    return parse_query([text])


def search(packages: "Packages", text: str) -> list["Package"]:
    """The packages of that name, or those that bear all those tags; at least one.

    Raises:
        ConfigError: it is no query.
        PackageError: there are none; the message names what comes close.
    """
    named = packages.catalogue.names.get(text.strip())
    return list(named) if named else packages.catalogue.get(query_of(text))


def choose(
    found: Sequence["Package"], text: str, *, quiet: bool, purpose: str = "install"
) -> "Package":
    """One of the packages: the only one, the first if `quiet`, or the one the user picks.

    Raises:
        PackageError: there are several, and no terminal to ask on.
    """
    if len(found) == 1 or quiet:
        return found[0]
    if not can_ask():
        listed = ", ".join(package.name for package in found)
        raise PackageError(
            f"{len(found)} packages have tags {text!r}: {listed}; add tags, give a name, or take "
            "the first with --quiet"
        )
    click.echo(menu(found), err=True)
    while True:
        click.echo(f'Please select the package to {purpose} [ hit return for "0" ]: ', nl=False,
                   err=True)  # fmt: skip
        answer = sys.stdin.readline()
        if not answer:
            raise click.Abort
        number = answer.strip() or "0"
        if number.isdigit() and int(number) < len(found):
            return found[int(number)]
        click.echo(f"{number!r} is none of them: give a number from 0 to {len(found) - 1}",
                   err=True)  # fmt: skip


def menu(found: Sequence["Package"]) -> str:
    """The choice among several packages, in the words of Collective Knowledge."""
    lines = [
        f" {number}) {package.name}  Version {package.version}  ({package.uid})"
        for number, package in enumerate(found)
    ]
    return "\n".join(["", "More than one package or version found:", "", *lines, ""])


@contextlib.contextmanager
def progress_bar(*, quiet: bool = False) -> Iterator["OnProgress | None"]:
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

        def update(progress: "Progress") -> None:
            key = (progress.package.name, progress.number)
            if key not in tasks:
                parts = len(progress.package.parts)
                which = f" {progress.number}/{parts}" if parts > 1 else ""
                tasks[key] = bar.add_task(progress.package.name + which, total=progress.total)
            bar.update(tasks[key], completed=progress.done, total=progress.total)

        yield update
