"""`flatshot convert`: step 2, a graph to a .tflite; or the whole way from a checkpoint."""

import json
import logging
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from flatshot.cli.absl_flags import AbslCommand, split_names
from flatshot.cli.export_options import NAMES, arguments, export_options
from flatshot.cli.places import place
from flatshot.errors import UnsupportedError
from flatshot.formats.postprocess import DECLARED

if TYPE_CHECKING:
    from flatshot.formats.graphdef import Graph
    from flatshot.formats.pipeline import Pipeline

_log = logging.getLogger("flatshot")


@click.command(cls=AbslCommand)
@click.argument("source", required=False, callback=place)
@click.option(
    "--input_file",
    "--graph_def_file",
    metavar="FILE",
    help="a frozen graph, .pb or .pbtxt; the same as SOURCE",
)
@click.option("--output_file", "-o", required=True, metavar="FILE", help="the .tflite to write")
@click.option(
    "--cut/--nocut", default=False, help="end in raw_outputs/*, before the post-processing operator"
)
@click.option("--input_arrays", default="", metavar="NAMES", help="[default: the placeholders]")
@click.option(
    "--input_shapes", default="", metavar="N,H,W,C", help="of each input, ':' between them"
)
@click.option(
    "--output_arrays",
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
    "--inference_type", default="FLOAT", show_default=True, metavar="TYPE", help="FLOAT only so far"
)
@export_options
@click.option("--json", "as_json", is_flag=True, help="print the log's figures as JSON on stdout")
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
    inference_type: str,
    as_json: bool,
    allow_custom_ops: bool,
    **options: Any,
) -> None:
    """Write the TensorFlow Lite model of a detector.

    SOURCE is a graph (.pb, .pbtxt, a SavedModel of TensorFlow 1, a .meta file, the model.json of
    TensorFlow.js), or a checkpoint (a directory, a prefix), which is exported on the way. A graph
    with preprocessing and post-processing of its own is cut between them; what the flags of export
    say of the post-processing goes before what the graph says.
    """
    from flatshot.compiler.convert import convert

    place = source or input_file
    if not place or (source and input_file):
        raise click.UsageError("give one input: SOURCE or --input_file")
    if cut and output_arrays:
        raise click.UsageError("--cut and --output_arrays both say where the model ends: give one")
    if inference_type.upper() not in ("FLOAT", "FLOAT32"):
        raise UnsupportedError(
            f"--inference_type {inference_type}: only FLOAT models are written so far"
        )
    shapes = _parse_shapes(input_shapes)
    graph, pipeline, postprocess = _load(ctx, place, options)
    model = convert(
        graph,
        cut=cut,
        input_arrays=split_names(input_arrays),
        input_shapes=shapes,
        output_arrays=split_names(output_arrays),
        allow_custom_ops=allow_custom_ops,
        pipeline=pipeline,
        postprocess=postprocess,
    )
    path = model.save(output_file)
    for line in model.log.lines():
        _log.info("%s", line)
    if as_json:
        click.echo(json.dumps({"path": str(path), **asdict(model.log)}, indent=2))
    else:
        click.echo(path)


def _load(
    ctx: click.Context, place: str, options: dict[str, Any]
) -> "tuple[Graph, Pipeline | None, dict[str, Any]]":
    """The graph in a file, or that of a checkpoint; a configuration and settings to cut it with."""
    from flatshot.formats.detector_graph import is_exported
    from flatshot.formats.graph_files import is_graph, load_graph
    from flatshot.formats.pipeline import load_pipeline
    from flatshot.models.export import export

    given = [name for name in NAMES if _is_given(ctx, name)]
    keywords = arguments(options)
    if not is_graph(place):
        return export(place, **keywords), None, {}
    graph = load_graph(place)
    if given and is_exported(graph):
        raise click.UsageError(f"--{given[0]} is for a checkpoint; {place} is a graph already")
    config, override = keywords["pipeline_config"], keywords["config_override"]
    if override and not config:
        raise click.UsageError("--config_override changes a configuration: give its path as well")
    settings = {name: keywords[name] for name in given if name in DECLARED}
    if settings.get("max_detections") == "auto":
        del settings["max_detections"]  # the graph's own total, else the configuration's
    return graph, load_pipeline(config, override) if config else None, settings


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def _parse_shapes(text: str) -> list[tuple[int, ...]]:
    try:
        return [
            tuple(int(size) for size in shape.split(","))
            for shape in text.strip("'\"").split(":")
            if shape
        ]
    except ValueError:
        raise click.UsageError(f"--input_shapes {text}: write 1,300,300,3") from None
