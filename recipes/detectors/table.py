"""Rewrite the tables of `docs/detectors.md`: what is built, and what configurations give.

    python recipes/detectors/table.py [CONFIGS]

`CONFIGS` is a folder of configurations (`*.config`, also in folders below it), such as the Object
Detection API's `samples/configs`; without it the second table stays as it is. Exits 1 with
`--check` where the first table is not what the code says.
"""

import re
import sys
from pathlib import Path

from flatshot.errors import FlatshotError
from flatshot.formats.pipeline import load_pipeline, read_pipeline
from flatshot.models import extractors
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import read_extractor
from flatshot.models.config.problems import Problems
from flatshot.models.detection_config import read_config
from flatshot.models.export import build_graph
from flatshot.models.extractors import SYMMETRIC, Extractor

PAGE = Path(__file__).resolve().parents[2] / "docs" / "detectors.md"
SIDE = 320
TEMPLATE = """
model {{ ssd {{ feature_extractor {{
  type: "{type}" override_base_feature_extractor_hyperparams: true
  conv_hyperparams {{ activation: RELU_6 batch_norm {{ scale: true }} }}
}} }} }}
"""


def main(arguments: list[str]) -> int:
    """Write the tables, or with `--check` compare the first; 0 if all is well."""
    page = PAGE.read_text()
    first = "\n".join(_extractor_rows())
    if "--check" in arguments:
        return int(first not in page)
    page = _replace(page, "extractors", first)
    folders = [argument for argument in arguments if not argument.startswith("-")]
    if folders:
        page = _replace(page, "configurations", "\n".join(_configuration_rows(Path(folders[0]))))
    PAGE.write_text(page)
    return 0


def _replace(page: str, table: str, rows: str) -> str:
    """`page` with `rows` between the marks of `table`."""
    begin, end = f"<!-- {table} -->", f"<!-- end of {table} -->"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    return pattern.sub(lambda _: f"{begin}\n{rows}\n{end}", page)


def _extractor_rows() -> list[str]:
    rows = [
        f"| `feature_extractor.type` | what it is | maps at {SIDE} x {SIDE} (side x channels) | "
        "trained values | may be given | smallest side | pixels become |",
        "|---|---|---|--:|---|--:|---|",
    ]
    for name in extractors.known_extractors():
        extractor = extractors.load_extractor(name)
        rows.append(f"| `{name}` | {' | '.join(_cells(name, extractor))} |")
    return rows


def _cells(name: str, extractor: Extractor) -> list[str]:
    section = read_pipeline(TEMPLATE.format(type=name)).model.ssd.feature_extractor
    config = read_extractor(section, Problems(), keras=extractor.keras)
    side = 256 if name.startswith("embedded") else SIDE
    if "bifpn" in extractor.takes:
        side = 512  # its seven levels must be halves
    builder = GraphBuilder(None)
    image = builder.placeholder("image", (1, side, side, 3))
    maps = extractor.extract(builder, image, config)
    what = (extractors.module_of(name).__doc__ or "").splitlines()[0]
    return [
        what.rstrip("."),
        ", ".join(f"{net.shape[1]}x{net.depth}" for net in maps) + _note(side),
        f"{_values(builder, maps) / 1e6:.1f} M",
        ", ".join(f"`{field}`" for field in sorted(extractor.takes)) or "-",
        str(extractor.min_side),
        "2/255 x - 1"
        if extractor.pixels == SYMMETRIC
        else "x - means"
        if extractor.pixels == extractors.MEANS_REMOVED
        else "by channel",
    ]


def _note(side: int) -> str:
    return "" if side == SIDE else f" (at {side})"


def _values(builder: GraphBuilder, maps: list[Tensor]) -> int:
    """How many trained values the maps depend on."""
    graph = builder.finish([net.name for net in maps])
    total = 0
    for node in graph:
        value = node.attrs.get("value")
        if f"{node.name}/read" in graph.by_name and hasattr(value, "size"):
            total += value.size
    return total


def _configuration_rows(folder: Path) -> list[str]:
    rows = ["| configuration | extractor | what becomes of it |", "|---|---|---|"]
    for path in sorted(folder.rglob("*.config")):
        kind, result = _configuration(path)
        rows.append(f"| {path.stem} | `{kind}` | {result} |")
    return rows


def _configuration(path: Path) -> tuple[str, str]:
    """The extractor that a configuration asks for, and what is built of it or why nothing is."""
    pipeline = load_pipeline(path)
    kind: str = pipeline.model.ssd.feature_extractor.type
    try:
        config = read_config(pipeline)
        graph = build_graph(config, None)
    except FlatshotError as error:
        return kind, f"refused: {str(error).partition('; known:')[0]}"
    _, height, width, _ = config.input_shape
    anchors = graph.by_name["anchors"].attrs["value"]
    count = len(anchors) if hasattr(anchors, "__len__") else 0
    return kind, f"{height} x {width}, {count} anchors, {config.class_slots} class slots"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
