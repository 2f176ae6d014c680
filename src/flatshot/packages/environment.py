"""The environment variables that a package gives, with the names that Collective Knowledge used.

A model gives `CK_ENV_TENSORFLOW_MODEL_X` for each export X of its entry in the catalogue, a data
set `CK_ENV_DATASET_X`, labels `CK_ENV_TENSORFLOW_MODEL_X` as well, since they are a model's.
Beside these, of every model and data set:

    ..._ROOT, ..._DIR    the folder that it lies in
    ..._NAME             its name, where the entry exports none

`..._DIR` is the variable that the original README's TODO asks for, "so not having to use the
`$(dirname ...)` idiom all the time"; `..._ROOT` is what Collective Knowledge filled the role with
later, and its programs read. Both stay. A value that is a place in the package (`./...`) becomes an
absolute path. `CK_ENV_COMPILER_PYTHON_FILE` is the Python that runs Flatshot.
"""

import sys

from flatshot.packages.catalogue import is_place
from flatshot.packages.install import Installed

PYTHON = "CK_ENV_COMPILER_PYTHON_FILE"
PREFIXES = {
    "model": "CK_ENV_TENSORFLOW_MODEL_",
    "dataset": "CK_ENV_DATASET_",
    "labels": "CK_ENV_TENSORFLOW_MODEL_",
}


def variables(installed: Installed) -> dict[str, str]:
    """Name -> value of each variable that the package gives; places are absolute paths."""
    package, folder = installed.package, installed.folder.resolve()
    own: dict[str, str] = {}
    if package.kind != "labels":
        # The labels' folder must not take the place of the model's.
        own = {"ROOT": str(folder), "DIR": str(folder), "NAME": package.name}
    for name, value in package.exports.items():
        own[name] = str(folder / value) if is_place(value) else value
    prefix = PREFIXES[package.kind]
    return {**{f"{prefix}{name}": value for name, value in own.items()}, PYTHON: sys.executable}
