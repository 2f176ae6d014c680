"""What a file holds: a model, a graph, a checkpoint or a configuration, in figures and words."""

from pathlib import Path

from flatshot.errors import FileError, FormatError
from flatshot.formats import files, tflite
from flatshot.formats.files import StrPath
from flatshot.formats.graph_files import is_graph
from flatshot.inspection.checkpoints import inspect_checkpoint
from flatshot.inspection.configurations import inspect_pipeline
from flatshot.inspection.description import Inspection, OperatorInfo, TensorInfo, as_json
from flatshot.inspection.graphs import inspect_graph
from flatshot.inspection.models import inspect_model

__all__ = ["Inspection", "OperatorInfo", "TensorInfo", "as_json", "inspect", "inspect_model"]


def inspect(path: StrPath) -> Inspection:
    """Look into a model, a graph, a configuration or a checkpoint.

    What a file is follows from its content and, between text formats, from its name.

    Args:
        path: a .tflite, a .pb, .pbtxt, .meta or model.json, a pipeline.config, the directory of
            a SavedModel, or the directory or prefix of a checkpoint.

    Raises:
        FileError: there is nothing to read at `path`.
        FormatError: it is none of these, or damaged.
    """
    place = Path(path)
    if place.suffix in (".meta", ".json") or (files.is_directory(place) and is_graph(place)):
        return inspect_graph(path)
    if place.suffix in (".tflite", ".pb", ".pbtxt", ".config"):
        files.map_bytes(place)  # a file that is missing is no checkpoint prefix that is missing
    if not (files.is_file(place) or files.is_directory(place) or files.is_file(f"{path}.index")):
        raise FileError(f"there is no file, directory or checkpoint {str(path)!r}")
    if place.suffix == ".index" or not files.is_file(place) or place.name == "checkpoint":
        return inspect_checkpoint(path)
    head = bytes(files.map_bytes(place)[:8])
    if head[4:] == tflite.IDENTIFIER or place.suffix == ".tflite":
        return inspect_model(files.map_bytes(place), str(path))
    if place.suffix == ".config":
        return inspect_pipeline(path)
    if place.suffix in (".pb", ".pbtxt"):
        return inspect_graph(path)
    return _inspect_unnamed(path)


def _inspect_unnamed(path: StrPath) -> Inspection:
    """A file whose name says nothing: whatever can read it says what it is."""
    for look in (inspect_checkpoint, inspect_graph, inspect_pipeline):
        try:
            return look(path)
        except (FileError, FormatError):
            continue
    raise FormatError(
        f"{path}: neither a .tflite, a GraphDef, a pipeline.config nor a checkpoint; "
        "a GraphDef in text must be called *.pbtxt"
    )
