"""`flatshot install`: packages by tags or by name."""

import click

from flatshot.cli.packages_menu import choose, open_packages, search
from flatshot.cli.progress import download_progress


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
    with download_progress(quiet=quiet) as on_progress:
        for package in chosen:
            click.echo(packages.install(package, again=again, on_progress=on_progress).path)
