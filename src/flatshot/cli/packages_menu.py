"""Packages by what the user calls them: by name or tags, and the choice among several."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flatshot.cli.progress import download_progress
from flatshot.cli.terminal import can_ask
from flatshot.errors import ConfigError, PackageError

if TYPE_CHECKING:
    from flatshot.packages.catalogue import Package, Query
    from flatshot.packages.install import Installed, Packages

# The scenes of the demo's data set: as many as tell the figures apart in a few seconds.
DEMO_SCENES = 100


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


def installed_package(packages: "Packages", text: str, *, quiet: bool) -> "Installed":
    """The installed package of that name or those tags; one that is not is offered to a terminal.

    Raises:
        ConfigError: it is no query.
        PackageError: there is none, none is installed, or several are and nobody can be asked.
    """
    known = search(packages, text)
    there = [package for package in known if packages.installed(package)]
    if there:
        chosen = choose(there, text, quiet=quiet, purpose="use")
        return packages.install(chosen)
    if not can_ask():
        names = ", ".join(package.name for package in known[:5]) + (", ..." * (len(known) > 5))
        raise PackageError(
            f"no package with tags {text!r} is installed: `flatshot install` brings {names}"
        )
    chosen = choose(known, text, quiet=quiet)
    click.confirm(f"{chosen} is not installed: install it?", default=True, abort=True, err=True)
    with download_progress() as on_progress:
        return packages.install(chosen, on_progress=on_progress)


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
    with download_progress(quiet=quiet) as on_progress:
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
