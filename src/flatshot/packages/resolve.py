"""A package's name wherever a path does."""

import os
from pathlib import Path

from flatshot.errors import PackageError
from flatshot.formats.files import StrPath
from flatshot.packages.install import Packages


def resolve(text: StrPath, packages: Packages | None = None) -> Path:
    """The path that `text` means: itself, or what the installed package of that name stands for.

    A path that exists wins over a name. `NAME/more/of/a/path` lies in the package's folder. Text
    that is neither path nor name comes back as it is, for whoever opens it to complain about.

    Raises:
        PackageError: a package of that name is known and not installed.
        FileError, FormatError: a catalogue file of the user's is unreadable or wrong.
    """
    path = Path(text)
    name, _, rest = os.fspath(text).partition("/")
    try:
        if not name or path.exists():
            return path
    except (OSError, ValueError):
        return path
    packages = packages or Packages()
    versions = packages.catalogue.names.get(name)
    if not versions:
        return path
    for package in versions:
        if found := packages.installed(package):
            return found.folder / rest if rest else found.path
    raise PackageError(f"the package {name} is not installed: `flatshot install {name}` does it")
