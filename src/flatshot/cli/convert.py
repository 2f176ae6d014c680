"""`flatshot convert`: step 2, a graph to a .tflite; or the whole way from a checkpoint."""

import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Literal

import click

from flatshot.cli.absl_flags import AbslCommand, split_names
from flatshot.cli.export_options import arguments, export_options
from flatshot.cli.json_output import check_json, json_option, write_json
from flatshot.cli.places import place
from flatshot.cli.quantized_options import quantized_arguments, quantized_options
from flatshot.cli.toco_flags import check_toco_flags, report_toco_flags, toco_options
from flatshot.errors import ConfigError
from flatshot.formats.postprocess import DECLARED
from flatshot.formats.tflite import TensorType, indices

if TYPE_CHECKING:
    from flatshot.compiler.compile import Model

_log = logging.getLogger("flatshot")


@click.command(cls=AbslCommand)
@click.argument("source", required=False, callback=place)
@click.option(
    "--input_file",
    "--graph_def_file",
    "--trained_checkpoint_dir",
    metavar="FILE",
    help="a frozen graph (.pb, .pbtxt) or a checkpoint's folder; the same as SOURCE",
)
@click.option(
    "--output_file", "--output", "-o", required=True, metavar="FILE", help="the .tflite to write"
)
@click.option(
    "--cut/--nocut", default=False, help="end in raw_outputs/*, before the post-processing operator"
)
@click.option(
    "--input_arrays",
    "--input_array",
    default="",
    metavar="NAMES",
    help="[default: the placeholders]",
)
@click.option(
    "--input_shapes",
    "--input_shape",
    default="",
    metavar="N,H,W,C",
    help="of each input, ':' between them",
)
@click.option(
    "--output_arrays",
    "--output_array",
    default="",
    metavar="NAMES",
    help="[default: the detections, or with --cut the raw outputs]",
)
@click.option(
    "--allow_custom_ops/--noallow_custom_ops",
    default=False,
    help="let operators that are not known through; TFLite_Detection_PostProcess always is",
)
@click.option(
    "--output_order",
    type=click.Choice(["tf1", "tf2"]),
    default="tf1",
    show_default=True,
    help="tf1: boxes, classes, scores, count; tf2: as TensorFlow 2's road, with its signature",
)
@quantized_options
@toco_options
@export_options
@click.option(
    "--nms_score_threshold", type=float, help="lowest score that is kept  [default: the source's]"
)
@click.option(
    "--nms_iou_threshold",
    type=float,
    help="overlap above which the lower score goes  [default: the source's]",
)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    source: str | None,
    input_file: str | None,
    output_file: str,
    cut: bool,
    input_arrays: str,
    input_shapes: str,
    output_arrays: str,
    json_file: str | None,
    allow_custom_ops: bool,
    output_order: Literal["tf1", "tf2"],
    nms_score_threshold: float | None,
    nms_iou_threshold: float | None,
    **options: Any,
) -> None:
    """Write the TensorFlow Lite model of a detector.

    SOURCE is a graph (.pb, .pbtxt, a SavedModel, a .meta file, the model.json of
    TensorFlow.js), or a checkpoint (a directory, a prefix), which is exported on the way. A graph
    with preprocessing and post-processing of its own is cut between them; what the flags of export
    say of the post-processing goes before what the graph says.
    """
    from flatshot.conversion.convert import convert

    place = source or input_file
    if not place or (source and input_file):
        raise click.UsageError("give one input: SOURCE or --input_file")
    if cut and output_arrays:
        raise click.UsageError("--cut and --output_arrays both say where the model ends: give one")
    unused = check_toco_flags(options, options["inference_type"])
    check_json(json_file)
    quantized = quantized_arguments(options)
    keywords = arguments(options)
    thresholds = {
        "nms_score_threshold": nms_score_threshold,
        "nms_iou_threshold": nms_iou_threshold,
    }
    model = convert(
        place,
        cut=cut,
        input_arrays=split_names(input_arrays),
        input_shapes=_parse_shapes(input_shapes),
        output_arrays=split_names(output_arrays),
        allow_custom_ops=allow_custom_ops,
        pipeline_config=keywords["pipeline_config"],
        config_override=keywords["config_override"],
        postprocess={**thresholds, **_given(ctx, keywords)},
        use_moving_averages=keywords["use_moving_averages"],
        output_order=output_order,
        **quantized,
    )
    if not quantized["inference_type"] and _reads_floats(model):
        unused += [name for name, value in quantized.items() if value not in (None, ())]
    report_toco_flags(unused)
    path = model.save(output_file)
    for line in model.log.lines():
        _log.info("%s", line)
    _say_suppression(model)
    write_json(json_file, {"path": str(path), **asdict(model.log)})
    if json_file != "-":
        click.echo(path)


def _reads_floats(model: "Model") -> bool:
    graph = model.tflite.subgraphs[0]
    return all(graph.tensors[n].type == TensorType.FLOAT32 for n in indices(graph.inputs))


def _say_suppression(model: "Model") -> None:
    """Which suppression the file holds, and what the other one would change."""
    try:
        settings = model.settings
    except ConfigError as error:
        _log.warning("the file holds settings that nothing can run with: %s", error)
        return
    if settings is None:
        return
    held, other = ("regular", "fast") if settings.use_regular_nms else ("fast", "regular")
    _log.info(
        "the file holds %s NMS, %d detections an image from a score of %g; %s NMS %s "
        "(depth 0.75 on 310 photographs of COCO: mAP 0.204 regular, 0.198 fast)",
        held,
        settings.max_detections,
        settings.nms_score_threshold,
        other,
        "would be quicker on a phone and find less"
        if settings.use_regular_nms
        else "(--use_regular_nms) would find more and take longer",
    )


def _given(ctx: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """The settings of the post-processing that the command line gives, and no defaults."""
    source = click.core.ParameterSource.COMMANDLINE
    return {
        name: value
        for name, value in options.items()
        if name in DECLARED and ctx.get_parameter_source(name) is source
    }


def _parse_shapes(text: str) -> list[tuple[int, ...]]:
    try:
        return [
            tuple(int(size) for size in shape.split(","))
            for shape in text.strip("'\"").split(":")
            if shape
        ]
    except ValueError:
        raise click.UsageError(f"--input_shapes {text}: write 1,300,300,3") from None
