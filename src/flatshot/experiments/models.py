"""The models that a table is measured on: whatever a source holds, as .tflite files."""

from dataclasses import dataclass
from pathlib import Path

from flatshot.compiler.compile import Model
from flatshot.conversion.convert import convert
from flatshot.conversion.sources import AUTO
from flatshot.formats.graph_files import is_graph


@dataclass(frozen=True)
class Models:
    """The .tflite files to measure: two of a checkpoint, and otherwise one that is both."""

    regular: Path
    fast: Path


def make_models(path: Path, output: Path) -> Models:
    """The .tflite models of what is at `path`, written into `output`.

    Of a checkpoint these are `detect_regular_nms.tflite`, `detect_fast_nms.tflite` and, without
    post-processing, `detect_no_nms.tflite`, as Collective Knowledge called them; of a graph of
    whatever kind `detect.tflite`. A .tflite is its own model.

    Raises:
        FlatshotError: it cannot be read, exported, converted or written.
    """
    if path.suffix == ".tflite":
        return Models(path, path)
    if is_graph(path):
        model = convert(path).save(output / "detect.tflite")
        return Models(model, model)
    files = {
        "detect_regular_nms.tflite": (True, False),
        "detect_fast_nms.tflite": (False, False),
        "detect_no_nms.tflite": (True, True),
    }
    regular, fast, _ = (
        _of_checkpoint(path, regular=regular, cut=cut).save(output / name)
        for name, (regular, cut) in files.items()
    )
    return Models(regular, fast)


def name_of(path: Path) -> str:
    """What to call the models of what is at `path`; the dots of a folder's name are no suffix."""
    if path.is_dir():
        return path.resolve().name or "model"
    # TensorFlow.js calls every model by this name.
    return (path.resolve().parent.name if path.name == "model.json" else path.stem) or "model"


def _of_checkpoint(path: Path, *, regular: bool, cut: bool) -> Model:
    settings = {"use_regular_nms": regular, "max_detections": AUTO}
    return convert(path, cut=cut, postprocess=settings)
