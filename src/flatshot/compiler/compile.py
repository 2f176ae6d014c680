"""Step 2: a frozen graph to a .tflite, what `toco` does, with its flags as arguments."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from flatshot.compiler import ir as compiler_ir
from flatshot.compiler.emitter import emit
from flatshot.compiler.frozen.folding import fold_shapes
from flatshot.compiler.importer import (
    Boundary,
    import_graph,
    needed_nodes,
    scalar_attrs,
)
from flatshot.compiler.quantization.inference import Inference, run_inference_passes
from flatshot.compiler.toco_log import ConversionLog, format_ops, make_log
from flatshot.errors import GraphError
from flatshot.formats import custom_options, files, model_metadata, normalization, tflite
from flatshot.formats.detector_graph import (
    ANCHORS,
    POSTPROCESS,
    POSTPROCESS_OUTPUTS,
    RAW_OUTPUTS,
)
from flatshot.formats.detector_metadata import append_labels, describe_detector
from flatshot.formats.files import StrPath
from flatshot.formats.graphdef import Graph, parse_tensor
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.version import VERSION


@dataclass(frozen=True, eq=False)
class Model:
    """A TensorFlow Lite model that was made here, and the log of its making.

    Its `labels` are the names of the classes, from 0, that lie behind the model in its file.
    """

    tflite: tflite.TFLiteModel
    log: ConversionLog
    labels: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Model: {self.summary()}>"

    def to_bytes(self) -> memoryview:
        """The model as the bytes of a .tflite file."""
        data = tflite.write_model(self.tflite)
        return memoryview(append_labels(data, self.labels)) if self.labels else data

    @property
    def settings(self) -> PostProcessSettings | None:
        """The settings of the post-processing operator; None in a model without one.

        Raises:
            ConfigError: one lies outside its range, as the graph's may.
        """
        for operator in self.tflite.subgraphs[0].operators:
            code = self.tflite.operator_codes[operator.opcode_index]
            if code.name == POSTPROCESS and operator.custom_options is not None:
                options = custom_options.read_options(operator.custom_options)
                return PostProcessSettings.from_options(options)
        return None

    def save(self, path: StrPath) -> Path:
        """Write the model to `path`, whole or not at all.

        Raises:
            FileError: the place cannot be written.
        """
        files.write_bytes(path, self.to_bytes())
        return Path(path)

    def summary(self) -> str:
        """The model in a line: operators, tensors, bytes of constants, cost, memory."""
        constants = sum(b.data.nbytes for b in self.tflite.buffers if b.data is not None)
        return (
            f"{self.log.converted.operators} operators, {self.log.converted.arrays} tensors, "
            f"{constants / 1e6:.2f} MB of constants, "
            f"{format_ops(self.log.arithmetic_ops)} arithmetic operations, "
            f"{self.log.memory.allocated / 1e6:.2f} MB for intermediate results"
        )


def compile_graph(
    graph: Graph,
    *,
    cut: bool = False,
    input_arrays: Sequence[str] = (),
    input_shapes: Sequence[tuple[int, ...]] = (),
    output_arrays: Sequence[str] = (),
    allow_custom_ops: bool = False,
    inference: Inference | None = None,
) -> Model:
    """The TensorFlow Lite model of a frozen graph, or of a part of it.

    Args:
        graph: what `flatshot.export` or `flatshot.compiler.frozen.cut` give, or any graph whose
            outputs are named.
        cut: end in the raw outputs, before the post-processing operator. The model keeps anchors
            and options of the operator as metadata, so that a `Detector` can do its work.
        input_arrays: names of the inputs (`name` or `name:0`); the graph's placeholders if none
            are given.
        input_shapes: shapes of the inputs, where the graph leaves them open.
        output_arrays: names of the outputs; if none are given, the four of the post-processing
            operator, or with `cut` or without the operator the raw outputs.
        allow_custom_ops: write operators that are not known as custom ones.
        inference: real numbers or integers; if not given, what the graph was trained for.

    Raises:
        ConfigError: what `inference` asks for cannot be.
        GraphError: the graph cannot be: a cycle, a missing node, shapes that do not fit; or it has
            no outputs of a detector and none are named.
        UnsupportedOpError: operators that are not known, all of them at once.
    """
    boundary = Boundary(
        inputs=tuple(str(parse_tensor(name)) for name in input_arrays),
        shapes=tuple(tuple(shape) for shape in input_shapes),
        outputs=tuple(output_arrays) or default_outputs(graph, cut=cut),
        allow_custom_ops=allow_custom_ops,
    )
    graph = fold_shapes(graph, boundary)
    ir = import_graph(graph, boundary)
    run_inference_passes(ir, inference or Inference())
    metadata = _input_metadata(graph) | _postprocess_metadata(graph, boundary.outputs)
    if boundary.outputs == POSTPROCESS_OUTPUTS and len(ir.inputs) == 1:
        metadata |= described(ir, metadata)
    model = emit(ir, f"Flatshot {VERSION}", metadata)
    inputs = {value.name for value in ir.inputs}
    return Model(model, make_log(graph, needed_nodes(graph, boundary), inputs, model))


def described(
    ir: compiler_ir.Graph, metadata: Mapping[str, bytes], *, labelled: bool = False
) -> dict[str, bytes]:
    """What the model of a detector says of itself to other tools; `metadata` is what else it has.

    Nothing where its input is no image.
    """
    (image,) = ir.inputs
    channels = image.dims[-1] if len(image.dims) == 4 else 0
    if channels not in (1, 3):
        return {}
    if image.dtype != np.float32:
        return {model_metadata.NAME: describe_detector(channels=channels, labelled=labelled)}
    own = metadata.get(normalization.NAME)
    pixels = normalization.read_normalization(own, channels) if own else ((2 / 255,), (-1.0,))
    scale, offset = pixels
    text = describe_detector(channels=channels, scale=scale, offset=offset, labelled=labelled)
    return {model_metadata.NAME: text}


def default_outputs(graph: Graph, *, cut: bool) -> tuple[str, ...]:
    """The outputs of a detector's graph.

    Raises:
        GraphError: it has neither the post-processing operator nor raw outputs.
    """
    if POSTPROCESS in graph.by_name and not cut:
        return POSTPROCESS_OUTPUTS
    if all(name in graph.by_name for name in RAW_OUTPUTS):
        return RAW_OUTPUTS
    raise GraphError(
        f"the graph has no {'' if cut else POSTPROCESS + ' and no '}raw_outputs/*: "
        "name its outputs with --output_arrays"
    )


def _input_metadata(graph: Graph) -> dict[str, bytes]:
    """How pixels become input, where that is another way than the usual 2/255 x - 1."""
    for node in graph:
        value = node.attrs.get(normalization.ATTRIBUTE)
        if node.op == "Placeholder" and isinstance(value, bytes):
            return {normalization.NAME: value}
    return {}


def _postprocess_metadata(graph: Graph, outputs: Sequence[str]) -> dict[str, bytes]:
    """What a model that ends in the raw outputs lacks: anchors and the operator's options."""
    if not set(RAW_OUTPUTS) <= set(outputs):
        return {}
    metadata = {}
    anchors = graph.by_name.get(ANCHORS)
    value = anchors.attrs.get("value") if anchors else None
    if isinstance(value, np.ndarray) and value.ndim == 2 and value.dtype == np.float32:
        metadata[ANCHORS] = value.tobytes()
    if POSTPROCESS in graph.by_name:
        metadata[POSTPROCESS] = custom_options.write_options(
            scalar_attrs(graph.by_name[POSTPROCESS])
        )
    return metadata
