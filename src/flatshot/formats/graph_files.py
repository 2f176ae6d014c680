"""The door for graphs: whatever file or directory holds one, it comes in as a frozen GraphDef."""

from pathlib import Path

from flatshot.errors import FormatError, GraphError, UnsupportedError
from flatshot.formats import files, graphdef
from flatshot.formats.files import StrPath
from flatshot.formats.graphdef import Graph
from flatshot.formats.inlining import inline
from flatshot.formats.json_text import parse_json

# As `saved_model.FILE_NAME` has it; most places are none, and need not wait for that module.
_SAVED_MODEL = "saved_model.pb"
# TensorFlow.js before 2019: a binary GraphDef without values, and the manifest beside it.
_OLD_TFJS, _OLD_MANIFEST = "tensorflowjs_model.pb", "weights_manifest.json"


def is_graph(path: StrPath) -> bool:
    """Whether `path` names a graph: by its suffix, or as the directory of a SavedModel.

    A directory that holds a checkpoint beside `saved_model/`, as exporters leave it, is that
    checkpoint's: its road knows the configuration.
    """
    place = Path(path)
    if place.suffix in (".pb", ".pbtxt", ".meta", ".json"):
        return True
    return files.is_directory(place) and files.is_file(find_saved_model(place) / _SAVED_MODEL)


def find_saved_model(directory: Path) -> Path:
    """The SavedModel that `directory` is, or the one in it where it holds no checkpoint."""
    inside = directory / "saved_model"
    if files.is_file(directory / _SAVED_MODEL) or not files.is_file(inside / _SAVED_MODEL):
        return directory
    return directory if _holds_checkpoint(directory) else inside


def _holds_checkpoint(directory: Path) -> bool:
    places = (directory, directory / "checkpoint")
    return any(files.is_directory(place) and any(place.glob("*.index")) for place in places)


def load_graph(path: StrPath) -> Graph:
    """The graph at `path`, its variables frozen.

    Args:
        path: a GraphDef (`.pb`, text if it is named `*txt`), a SavedModel (its directory or its
            `saved_model.pb`), a `.meta` file with its checkpoint beside it, or
            the `model.json` of a TensorFlow.js graph model with its weights beside it.

    Raises:
        FileError: a file is missing or unreadable.
        FormatError: a file is damaged.
        GraphError: functions in it call themselves, or make too many nodes.
        UnsupportedError: it calls a function that is not there, or is a layers model of Keras.
    """
    from flatshot.formats import saved_model, tfjs

    place = Path(path)
    if place.suffix == ".json":
        return tfjs.load_model(place)
    if place.suffix == ".meta":
        return saved_model.load_meta_graph(place)
    if place.name == _SAVED_MODEL or files.is_directory(place):
        return saved_model.load_saved_model(find_saved_model(place))
    manifest = place.with_name(_OLD_MANIFEST)
    if place.name == _OLD_TFJS and files.is_file(manifest):
        return _load_old_tfjs(place, manifest)
    graph = graphdef.load_graphdef(place)
    try:
        return inline(graph)
    except (FormatError, GraphError, UnsupportedError) as error:
        raise type(error)(f"{place}: {error}") from error


def _load_old_tfjs(path: Path, manifest: Path) -> Graph:
    from flatshot.formats import tfjs

    try:
        groups = parse_json(files.read_bytes(manifest))
    except FormatError as error:
        raise FormatError(f"{manifest}: {error}") from error
    return tfjs.fill_in(graphdef.load_graphdef(path), groups, path.parent)
