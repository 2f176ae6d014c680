"""`flatshot export`: step 1, a checkpoint to tflite_graph.pb and tflite_graph.pbtxt."""

import logging
from typing import Any

import click

from flatshot.cli.absl_flags import AbslCommand, split_names
from flatshot.cli.export_options import arguments, export_options
from flatshot.cli.places import place

_log = logging.getLogger("flatshot")


@click.command(cls=AbslCommand)
@click.argument("checkpoint", required=False, callback=place)
@click.option(
    "--trained_checkpoint_prefix",
    "--trained_checkpoint_dir",
    metavar="PREFIX",
    help="the checkpoint, as DIR/model.ckpt or its folder; the same as CHECKPOINT",
)
@click.option(
    "--output_directory",
    "--output",
    "-o",
    required=True,
    metavar="DIR",
    help="made if it is not there",
)
@export_options
@click.option(
    "--add_postprocessing_op/--noadd_postprocessing_op",
    default=True,
    help="end in TFLite_Detection_PostProcess, not in the raw outputs  [default: yes]",
)
@click.option(
    "--additional_output_tensors", default="", metavar="NAMES", help="nodes to keep as well"
)
@click.option("--input_type", metavar="TYPE", help="accepted for old command lines; has no effect")
def command(
    checkpoint: str | None,
    trained_checkpoint_prefix: str | None,
    output_directory: str,
    add_postprocessing_op: bool,
    additional_output_tensors: str,
    input_type: str | None,
    **options: Any,
) -> None:
    """Write the frozen graph of a detector: tflite_graph.pb and tflite_graph.pbtxt.

    CHECKPOINT is a directory, a prefix (DIR/model.ckpt) or a `checkpoint` file. The flags are those
    of export_tflite_ssd_graph.py and export_tflite_graph_tf2.py.
    """
    from flatshot.models.export import export

    place = checkpoint or trained_checkpoint_prefix
    if not place or (checkpoint and trained_checkpoint_prefix):
        raise click.UsageError("give one checkpoint: CHECKPOINT or --trained_checkpoint_prefix")
    if input_type is not None:
        _log.info(
            "--input_type %s has no effect here: the input is normalized_input_image_tensor, "
            "float32; it belongs to export_inference_graph.py",
            input_type,
        )
    graph = export(
        place,
        **arguments(options),
        add_postprocessing_op=add_postprocessing_op,
        additional_output_tensors=split_names(additional_output_tensors),
    )
    for path in graph.save(output_directory):
        click.echo(path)
    _log.info("%d nodes", len(graph))
