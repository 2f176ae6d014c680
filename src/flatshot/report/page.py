"""From studies to one self-contained HTML file, by the templates in `templates/`.

Everything that is put into a page is escaped: names of classes and files come from strangers. The
page's own policy (CSP) lets it load nothing and run no script but its own.
"""

import base64
import hashlib
import re
import shlex
import time
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path, PurePath
from typing import Any

from flatshot.errors import ConfigError
from flatshot.formats import files
from flatshot.formats.files import StrPath
from flatshot.report import words
from flatshot.report.figures import FIGURES
from flatshot.report.plots import spark
from flatshot.report.sections import sections, summary
from flatshot.report.study import Study
from flatshot.version import VERSION


def report(studies: Sequence[Study]) -> str:
    """The page of one run, or of several side by side, as HTML.

    Args:
        studies: the runs; of several the first is what the others are held against.

    Raises:
        ConfigError: no run.
        RecordError: a data set is not the one that was measured, or the runs are of different ones.
    """
    if not studies:
        raise ConfigError("a report needs a record or a result: name at least one")
    if len(studies) == 1:
        return _report(studies[0])
    from flatshot.report.comparison import comparison

    return _render("compare.html.j2", comparison(studies))


def write_report(path: StrPath, studies: Sequence[Study]) -> Path:
    """Write the page of `report` to `path`, whole or not at all.

    Raises:
        ConfigError, RecordError: see `report`.
        FileError: the place cannot be written.
    """
    files.write_bytes(path, report(studies).encode())
    return Path(path)


def _report(study: Study) -> str:
    head = summary(study)
    parts = list(sections(study, head, command(study.content)))
    return _render(
        "report.html.j2",
        {
            "title": f"{study.name}: mAP {words.figure(head.figures['AP'].value)}, Flatshot report",
            "eyebrow": f"Flatshot report, {_today()}",
            "study": study,
            "head": head,
            "sections": parts,
            "images": len(study.images),
            "drawn": bool(head.thresholds.f1.max() > 0),
        },
    )


def command(content: Mapping[str, Any]) -> str:
    """The command line that measures this again; empty where the record does not name its parts."""
    if not content.get("model") or not content.get("dataset"):
        return ""
    settings, options = content.get("settings", {}), content.get("options", {})
    line = ["flatshot", "benchmark", str(content["model"]), "--dataset", str(content["dataset"])]
    if settings:
        line += ["--nms", "regular" if settings["use_regular_nms"] else "fast"]
        line += ["--score-threshold", words.number(settings["nms_score_threshold"])]
        line += ["--max-detections", str(settings["max_detections"])]
    for flag in ("resize", "rounding", "postprocess"):
        if options.get(flag):
            line += [f"--{flag}", str(options[flag])]
    for flag in ("count", "skip"):
        if options.get(flag):
            line += [f"--{flag}", str(options[flag])]
    return shlex.join([*line, "--report", "report.html"])


def _today() -> str:
    now = time.localtime()
    return f"{now.tm_mday} {time.strftime('%B %Y', now)}"


@cache
def _environment() -> Any:
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("flatshot.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": lambda value: _data(value, words.figure(value)),
        "one": lambda value: _data(value, f"{value:.1f}"),
        "pc": lambda value: _data(value, words.percent(value)),
        "ms": lambda value: _data(1000 * value, words.milliseconds(value)),
        "n": lambda value: _data(value, words.count(value)),
        "points": lambda value: _data(100 * value, words.points(value)),
        "signed": lambda value: _data(value, words.signed(value, 2)),
        "place": lambda value: f"{value:.1f}".removesuffix(".0"),
        "setting": words.number,
        "sentence": words.sentence,
        "spark": spark,
        "share_of": lambda value, total: value / total,
        "name": lambda path: PurePath(str(path)).name,
        "figure_name": lambda key: FIGURES[key][0],
        "figure_meaning": lambda key: f"({FIGURES[key][1]})" if FIGURES[key][1] else "",
        "breakable": _breakable,
    }
    return environment


def _render(template: str, context: Mapping[str, Any]) -> str:
    from markupsafe import Markup

    style, script = _asset("style.css"), _asset("page.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    text: str = (
        _environment()
        .get_template(template)
        .render(
            style=Markup(style),
            script=Markup(script),
            script_hash=f"sha256-{digest}",
            version=VERSION,
            **context,
        )
    )
    # Templates are laid out for their readers; the page need not carry that.
    return re.sub(r"\n\s*\n+", "\n", text).strip() + "\n"


def _asset(name: str) -> str:
    return resources.files("flatshot.report").joinpath("templates", name).read_text("utf-8").strip()


def _data(value: float, text: str) -> Any:
    """A rounded number that keeps its full precision, for whoever reads the page by program."""
    from markupsafe import Markup

    exact = int(value) if float(value).is_integer() else float(value)
    return Markup('<data value="{}">{}</data>').format(repr(exact), text)


def _breakable(name: str) -> Any:
    """A file name that may be broken after its own joints."""
    from markupsafe import Markup, escape

    parts = re.split(r"(?<=[_\-/])|(?=\.)", name)
    return Markup("<wbr>").join(escape(part) for part in parts if part)
