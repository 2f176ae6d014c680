"""Any source to a TensorFlow Lite model: what `flatshot convert` does."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from flatshot.compiler.compile import Model, compile_graph
from flatshot.compiler.output_order import OutputOrder, in_order
from flatshot.compiler.quantization.inference import Inference, InferenceType
from flatshot.compiler.quantization.unsigned import UnsignedSettings
from flatshot.conversion.arrays import mean_whole_detector
from flatshot.conversion.sources import AUTO, Source, open_source, without_auto
from flatshot.errors import ConfigError, FlatshotError, GraphError, UnsupportedError
from flatshot.formats.detector_graph import change_postprocess, is_exported
from flatshot.formats.files import StrPath
from flatshot.formats.graphdef import Graph
from flatshot.formats.pipeline import Pipeline, load_pipeline
from flatshot.formats.postprocess import checked

_log = logging.getLogger("flatshot")


def convert(
    source: Source,
    *,
    cut: bool = False,
    input_arrays: Sequence[str] = (),
    input_shapes: Sequence[tuple[int, ...]] = (),
    output_arrays: Sequence[str] = (),
    allow_custom_ops: bool = False,
    pipeline_config: StrPath | None = None,
    config_override: str = "",
    postprocess: Mapping[str, Any] | None = None,
    use_moving_averages: bool | None = None,
    output_order: OutputOrder = "tf1",
    inference_type: str | None = None,
    mean_values: Sequence[float] = (),
    std_values: Sequence[float] = (),
    change_concat_input_ranges: bool | None = None,
    default_ranges: tuple[float, float] | None = None,
) -> Model:
    """The TensorFlow Lite model of a detector, whatever holds it.

    A graph that ends as `flatshot.export` ends them is compiled as it is. A detector that other
    tools froze, with preprocessing and post-processing of its own, is cut at its heads first (see
    `flatshot.compiler.frozen.cut`), unless arrays say where the model begins and ends. An argument
    that cannot be honoured on the road that is taken is an error.

    Args:
        source: a graph, or the path of one, of a SavedModel or of a checkpoint: see
            `flatshot.conversion.sources.open_source`.
        cut: end in the raw outputs, before the post-processing operator. The model keeps anchors
            and options of the operator as metadata, so that a `Detector` can do its work.
        input_arrays: names of the inputs; the graph's placeholders if none are given.
        input_shapes: shapes of the inputs, where the graph leaves them open.
        output_arrays: names of the outputs; if none are given, the four of the post-processing
            operator, or with `cut` or without the operator the raw outputs.
        allow_custom_ops: write operators that are not known as custom ones.
        pipeline_config: the configuration: of a checkpoint, where it does not lie beside it; of a
            detector that is cut, for what its graph does not say.
        config_override: text merged over the configuration as protobuf merges.
        postprocess: settings of the post-processing operator (`max_detections`,
            `score_threshold` and so on, see `flatshot.PostProcessSettings`) that go before what
            the source says; `max_detections` is "auto" by default, for as many as the source
            says.
        inference_type: FLOAT; for a graph that was trained with quantisation QUANTIZED_UINT8, or
            INT8 (a scale for each channel of the weights, input and detections in real numbers); if
            not given, what the graph was trained for. The weights of such a graph are on their
            grid in FLOAT too.
        mean_values: in QUANTIZED_UINT8, the integer of each input that stands for 0 [128].
        std_values: the integers between 0 and 1 of each input [128].
        change_concat_input_ranges: whether a concatenation takes the parameters of its first
            input; if not given, as TOCO if `inference_type` is given, else not.
        use_moving_averages: of a checkpoint: trained weights or their averages; if not given, as
            the official exporter does.
        output_order: of the four detections: boxes, classes, scores, count (`tf1`), or as
            TensorFlow 2's converter lists and names them (`tf2`).
        default_ranges: least and largest number of tensors whose range training did not find.

    Raises:
        ConfigError: an argument cannot be honoured, a setting is none or out of range.
        FileError: a file is missing or unreadable.
        FormatError: a file is damaged.
        GraphError: the graph cannot be: a cycle, a missing node, shapes that do not fit.
        UnsupportedError: the graph is to be cut and is no single-shot detector.
        UnsupportedOpError: operators that are not known, all of them at once.
    """
    if cut and output_arrays:
        raise ConfigError("cut and output_arrays both say where the model ends: give one")
    inference = Inference(
        InferenceType.parse(inference_type) if inference_type else None,
        UnsignedSettings(
            tuple(mean_values) or (128.0,),
            tuple(std_values) or (128.0,),
            # TOCO's default is true, though all who write of it say false.
            change_concat_input_ranges
            if change_concat_input_ranges is not None
            else inference_type is not None,
            default_ranges,
        ),
    )
    # As many detections as the source says; `export` alone has the official default of 10.
    settings = {"max_detections": AUTO, **(postprocess or {})}
    graph = open_source(
        source,
        pipeline_config,
        config_override=config_override,
        settings=settings,
        use_moving_averages=use_moving_averages,
    )
    changes = without_auto(settings)
    exported = is_exported(graph)
    if (
        not exported
        and (input_arrays or output_arrays)
        and mean_whole_detector(graph, input_arrays, output_arrays)
    ):
        _log.warning(
            "the arrays name the whole detector: it is cut between its preprocessing and its "
            "post-processing, as without them"
        )
        input_arrays, output_arrays = (), ()
    arguments: dict[str, Any] = {
        "cut": cut,
        "input_arrays": input_arrays,
        "output_arrays": output_arrays,
        "allow_custom_ops": allow_custom_ops,
        "inference": inference,
    }
    if exported:
        graph = change_postprocess(graph, changes)
    elif input_arrays or output_arrays:
        _refuse_for_arrays(pipeline_config=pipeline_config, postprocess=checked(changes))
    else:
        pipeline = load_pipeline(pipeline_config, config_override) if pipeline_config else None
        model = _cut_and_compile(graph, pipeline, input_shapes, changes, arguments)
        return in_order(model, output_order)
    return in_order(compile_graph(graph, input_shapes=input_shapes, **arguments), output_order)


def _cut_and_compile(
    graph: Graph,
    pipeline: Pipeline | None,
    input_shapes: Sequence[tuple[int, ...]],
    changes: Mapping[str, Any],
    arguments: Mapping[str, Any],
) -> Model:
    """The model of a detector that is cut at its heads first."""
    from flatshot.compiler.frozen.cut import cut_frozen, dissect  # takes 30 ms, seldom needed

    if len(input_shapes) > 1:
        raise ConfigError(f"{len(input_shapes)} input shapes: a detector reads one image")
    shape = input_shapes[0] if input_shapes else None
    try:
        return compile_graph(cut_frozen(graph, pipeline, shape, changes), **arguments)
    except (GraphError, UnsupportedError) as error:
        if shape is None:
            raise
        try:
            own = dissect(graph, pipeline).input_shape
        except FlatshotError:
            raise error from None
        if own == tuple(shape):
            raise
        raise ConfigError(
            f"the input shape {','.join(map(str, shape))} cannot be honoured: the graph is made "
            f"for images of {own[1]} x {own[2]} (its boxes and anchors are of that size): leave "
            "input_shapes (--input_shapes) out"
        ) from error


def _refuse_for_arrays(**arguments: object) -> None:
    """Arrays make a model of a part of the graph, which has no post-processing of ours."""
    given = [name for name, value in arguments.items() if value]
    if given:
        raise ConfigError(
            f"{' and '.join(given)} cannot be honoured with input_arrays or output_arrays: the "
            "part of the graph that they name is converted as it is; leave out the one or the other"
        )
