"""What is baked into a detector's file, changed without the source that it was made from."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.errors import ConfigError, ModelError
from flatshot.formats import custom_options, model_metadata, tflite, tflite_patch
from flatshot.formats.custom_options import Option
from flatshot.formats.detector_graph import ANCHORS, POSTPROCESS, RAW_OUTPUTS
from flatshot.formats.detector_metadata import LABELS, append_labels, describe_detector
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.formats.tflite import Builtin, TensorType, TFLiteModel
from flatshot.runtime.anatomy import Anatomy, read_anatomy
from flatshot.runtime.fitting import anchors_in_force, settings_in_force

Anchors = npt.NDArray[np.float32]
_DATE = (1980, 1, 1, 0, 0, 0)


def edit(
    model: bytes,
    *,
    labels: Sequence[str] | None = None,
    cut: bool = False,
    anchors: npt.ArrayLike | None = None,
    metadata: bool = False,
    **changes: Any,
) -> bytes:
    """The bytes of a detector with other settings, labels, metadata, or without its operator.

    What can be changed in place is: every other byte of the file stays. The files in a ZIP archive
    behind the model stay there.

    Args:
        model: the bytes of a .tflite.
        labels: the names of the classes, from 0, to pack behind the model.
        cut: drop the post-processing operator, and keep anchors and settings as metadata.
        anchors: (n, 4) centre y, centre x, height, width: put the operator at the end of a model
            that is cut.
        metadata: write TensorFlow Lite's model metadata, which MediaPipe asks for; so do `labels`.
        changes: settings of the post-processing, see `PostProcessSettings`.

    Raises:
        ConfigError: a setting cannot be, or arguments exclude each other.
        ModelError: it is no detector, or cannot be written again.
    """
    if cut and anchors is not None:
        raise ConfigError("--cut drops the operator and --anchors puts one in: give one")
    anatomy = read_anatomy(model)
    settings = settings_in_force(anatomy, None, changes)
    files = packed_files(model)
    data = without_archive(model)
    if anatomy.operator is not None and changes:
        options = {**(anatomy.options or {}), **settings.to_options()}
        written = custom_options.write_options(options)
        data = tflite_patch.replace_custom_options(data, anatomy.operator, written)
    if cut:
        data = _rewritten(data, lambda tables: _cut(tables, anatomy, settings))
    elif anchors is not None:
        given = anchors_in_force(anatomy, anchors)
        assert given is not None
        data = _rewritten(data, lambda tables: _add_operator(tables, anatomy, given, settings))
    elif anatomy.operator is None and changes:
        data = _rewritten(data, lambda tables: _set_options(tables, settings))
    if labels is not None:
        files = {name: text for name, text in files.items() if name != LABELS}
    has_labels = labels is not None or LABELS in files
    if labels is not None or metadata:
        data = _rewritten(data, lambda tables: _describe(tables, data, has_labels))
    if files:
        data = _with_files(data, files)
    return append_labels(data, labels) if labels is not None else bytes(data)


def packed_files(model: bytes) -> dict[str, bytes]:
    """The files in the ZIP archive behind a model, by name; none where there is no archive."""
    stream = io.BytesIO(model)
    if not zipfile.is_zipfile(stream):
        return {}
    try:
        with zipfile.ZipFile(stream) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > max(2**24, len(model)):
                raise ModelError("the archive behind the model unfolds to more than the model")
            return {entry.filename: archive.read(entry) for entry in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, OSError, EOFError) as error:
        raise ModelError(f"the archive behind the model is damaged: {error}") from error


def without_archive(model: bytes) -> bytes:
    """The model without the ZIP archive behind it."""
    stream = io.BytesIO(model)
    if not zipfile.is_zipfile(stream):
        return model
    try:
        with zipfile.ZipFile(stream) as archive:
            begins = min((entry.header_offset for entry in archive.infolist()), default=len(model))
    except (zipfile.BadZipFile, NotImplementedError, OSError) as error:
        raise ModelError(f"the archive behind the model is damaged: {error}") from error
    return model[:begins]


def _with_files(model: bytes, files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    stream.write(model)
    with zipfile.ZipFile(stream, "a", zipfile.ZIP_STORED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, _DATE), content)
    return stream.getvalue()


def _rewritten(data: bytes, change: Any) -> bytes:
    """The model read into tables, changed, and written again.

    Raises:
        ModelError: it holds what the tables do not know, and would lose it.
    """
    tables = tflite.read_model(data)
    for graph in tables.subgraphs:
        for operator in graph.operators:
            if operator.options_type and operator.options is None:
                name = tables.operator_codes[operator.opcode_index].name
                raise ModelError(
                    f"the model has an operator {name}, which Flatshot cannot write again: only "
                    "the settings of its post-processing can be changed"
                )
    change(tables)
    return bytes(tflite.write_model(tables))


def _cut(tables: TFLiteModel, anatomy: Anatomy, settings: PostProcessSettings) -> None:
    if anatomy.operator is None:
        raise ConfigError("the model has no post-processing operator to drop")
    if anatomy.anchors is None:
        raise ModelError("the anchors of the model cannot be read, and would be lost")
    graph = tables.subgraphs[0]
    del graph.operators[anatomy.operator]
    graph.outputs = np.array(anatomy.operator_inputs[:2], np.int32)
    for number, name in zip(anatomy.operator_inputs, RAW_OUTPUTS, strict=False):
        graph.tensors[number].name = name  # shapes do not always tell boxes from scores
    tables.signature_defs = []
    _set_metadata(tables, ANCHORS, np.ascontiguousarray(anatomy.anchors, np.float32).tobytes())
    _set_options(tables, settings)
    tables.metadata = [m for m in tables.metadata if m.name != model_metadata.NAME]


def _set_options(tables: TFLiteModel, settings: PostProcessSettings) -> None:
    _set_metadata(tables, POSTPROCESS, custom_options.write_options(settings.to_options()))


def _add_operator(
    tables: TFLiteModel, anatomy: Anatomy, anchors: Anchors, settings: PostProcessSettings
) -> None:
    if anatomy.operator is not None:
        raise ConfigError("the model has a post-processing operator already")
    ports = anatomy.box_encodings, anatomy.class_predictions
    if any(port.dtype != np.float32 for port in ports):
        raise ModelError(
            "the raw outputs are integers, and the operator would want the anchors as such: put it "
            "into the model of real numbers, and quantise that"
        )
    graph = tables.subgraphs[0]
    first = len(graph.tensors)
    tables.buffers.append(tflite.Buffer(anchors.reshape(-1).view(np.uint8)))
    shape = np.array(anchors.shape, np.int32)
    buffer = len(tables.buffers) - 1
    graph.tensors.append(tflite.Tensor(ANCHORS, shape, TensorType.FLOAT32, buffer))
    names = [POSTPROCESS, *(f"{POSTPROCESS}:{number}" for number in (1, 2, 3))]
    empty = np.array((), np.int32)
    graph.tensors += [tflite.Tensor(name, empty, TensorType.FLOAT32) for name in names]
    tables.operator_codes.append(
        tflite.OperatorCode(Builtin.CUSTOM, POSTPROCESS, 1, Builtin.CUSTOM)
    )
    options: dict[str, Option] = dict(settings.to_options())
    made = np.arange(first + 1, first + 5, dtype=np.int32)
    graph.operators.append(
        tflite.Operator(
            opcode_index=len(tables.operator_codes) - 1,
            inputs=np.array([*(port.index for port in ports), first], np.int32),
            outputs=made,
            custom_options=np.frombuffer(custom_options.write_options(options), np.uint8),
        )
    )
    graph.outputs = made
    tables.signature_defs = []
    gone = (ANCHORS, POSTPROCESS)
    tables.metadata = [entry for entry in tables.metadata if entry.name not in gone]


def _describe(tables: TFLiteModel, data: bytes, labelled: bool) -> None:
    anatomy = read_anatomy(data)
    if anatomy.operator is None or tuple(anatomy.outputs) != tuple(anatomy.operator_outputs):
        raise ModelError(
            "metadata is written for models that end in the four outputs of the post-processing "
            "operator: --anchors puts one in"
        )
    channels = int(anatomy.input.shape[3])
    if anatomy.input.dtype != np.float32:
        text = describe_detector(channels=channels, labelled=labelled)
    else:
        scale, offset = anatomy.normalization or ((2 / 255,), (-1.0,))
        text = describe_detector(channels=channels, scale=scale, offset=offset, labelled=labelled)
    _set_metadata(tables, model_metadata.NAME, text)


def _set_metadata(tables: TFLiteModel, name: str, content: bytes) -> None:
    """Keep named bytes in the model; those of the same name go."""
    tables.buffers.append(tflite.Buffer(np.frombuffer(content, np.uint8)))
    kept = [entry for entry in tables.metadata if entry.name != name]
    tables.metadata = [*kept, tflite.Metadata(name, len(tables.buffers) - 1)]
