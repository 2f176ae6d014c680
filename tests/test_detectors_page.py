"""`docs/detectors.md` says what the code builds, and the API's own configurations build."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from flatshot.errors import FlatshotError
from flatshot.formats.pipeline import load_pipeline
from flatshot.models.detection_config import read_config
from flatshot.models.export import build_graph

TABLE = Path(__file__).parent.parent / "recipes" / "detectors" / "table.py"
# Of the API's 35 configurations for TensorFlow 1: what stands in the way of those that are refused.
REFUSED = {
    "ssd_mobilenet_v2_fullyconv_coco": "image_resizer.keep_aspect_ratio_resizer",
    "ssd_mobilenet_v2_fpnlite_quantized_shared_box_predictor_256x256_depthmultiplier_75_coco14_sync"
    "": "graph_rewriter.quantization: quantisation-aware graphs of a weight_shared",
}


@pytest.fixture(scope="module")
def table() -> ModuleType:
    """The command that writes the page."""
    spec = importlib.util.spec_from_file_location("table", TABLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_extractors_is_what_the_code_says(table: ModuleType) -> None:
    """Whoever adds an extractor runs the command again."""
    assert table.main(["--check"]) == 0


def test_a_page_that_lags_behind_is_found(
    table: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the command mends it."""
    page = tmp_path / "detectors.md"
    page.write_text("<!-- extractors -->\nold\n<!-- end of extractors -->\n")
    monkeypatch.setattr(table, "PAGE", page)
    assert table.main(["--check"]) == 1
    assert table.main([]) == 0
    assert table.main(["--check"]) == 0


def test_the_apis_own_configurations(data: Path) -> None:
    """All 35 of TensorFlow 1 build, or are refused for the reason that the page names."""
    paths = sorted((data / "configs/tf1").glob("*.config"))
    assert len(paths) == 35
    refused = {}
    for path in paths:
        pipeline = load_pipeline(path)
        try:
            build_graph(read_config(pipeline), None)
        except FlatshotError as error:
            refused[path.stem] = str(error)
    assert set(refused) == set(REFUSED)
    for name, reason in refused.items():
        assert reason.startswith(REFUSED[name]), name
