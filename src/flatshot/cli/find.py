"""`flatshot find`: the packages that bear all tags."""

from typing import TYPE_CHECKING, Any

import click

from flatshot.cli.json_output import json_option, write_json
from flatshot.cli.packages_menu import open_packages
from flatshot.cli.tables import table

if TYPE_CHECKING:
    from flatshot.packages.catalogue import Package
    from flatshot.packages.install import Packages


@click.command(
    "find", context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]}
)
@click.argument("tags", nargs=-1)
@click.option("--installed", is_flag=True, help="Only those that are installed.")
@json_option
def command(tags: tuple[str, ...], installed: bool, json_file: str | None) -> None:
    """List the packages that bear all TAGS; -TAG forbids one, no tags list all.

    Tags are divided by commas or spaces; names, kinds and versions count as tags.
    """
    from flatshot.packages.catalogue import parse_query

    packages = open_packages()
    query = parse_query(tags)
    found = packages.catalogue.get(query) if query.wanted else packages.catalogue.find(query)
    if installed:
        found = [package for package in found if packages.installed(package)]
    found.sort(key=lambda package: (package.kind != "model", package.kind, package.name))
    write_json(json_file, [_entry(packages, package) for package in found] if json_file else None)
    if json_file == "-":
        return
    if found:
        click.echo(_table(packages, found))
    else:
        click.echo("no packages", err=True)


def _entry(packages: "Packages", package: "Package") -> dict[str, Any]:
    there = packages.installed(package)
    return {
        **package.to_json(),
        "uid": package.uid,
        "installed": None if there is None else str(there.path),
    }


def _table(packages: "Packages", found: list["Package"]) -> str:
    rows = [
        (
            package.name,
            package.version,
            package.kind,
            size_text(package),
            "yes" if packages.installed(package) else "",
            package.licence.split(";")[0],
            package.title,
        )
        for package in found
    ]
    return table(
        ("name", "version", "kind", "size", "installed", "licence", "what"), rows, right=(3,)
    )


def size_text(package: "Package") -> str:
    """How much is fetched, in words."""
    if package.is_builtin:
        return "built in"
    size = package.bytes
    if size is None:
        return "?"
    return f"{size / 1e6:.1f} MB" if size < 1e9 else f"{size / 1e9:.2f} GB"
