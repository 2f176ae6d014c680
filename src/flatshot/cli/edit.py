"""`flatshot edit`: change what is baked into a detector, without what it was made from."""

from typing import Any

import click
import numpy as np

from flatshot.cli.detector_options import post_process_options
from flatshot.cli.places import place
from flatshot.errors import ConfigError
from flatshot.formats.files import read_bytes, write_bytes


@click.command()
@click.argument("model", callback=place)
@click.option("--output_file", "-o", required=True, metavar="FILE", help="the .tflite to write")
@post_process_options
@click.option("--labels", callback=place, metavar="FILE", help="names to pack behind the model")
@click.option("--metadata", is_flag=True, help="write TensorFlow's model metadata, for MediaPipe")
@click.option("--cut", is_flag=True, help="drop the post-processing operator")
@click.option(
    "--anchors",
    metavar="FILE",
    help="put the operator into a cut model: a .npy of (n, 4), or 'carried' for the model's own",
)
def command(
    model: str,
    output_file: str,
    labels: str | None,
    metadata: bool,
    cut: bool,
    anchors: str | None,
    postprocess: str,
    **settings: Any,
) -> None:
    """Change a detector's settings, labels or end, and leave its network as it is.

    MODEL is any detector in a .tflite, also one that other tools made.
    """
    from flatshot.runtime.edit import edit
    from flatshot.runtime.labels import load_labels

    if postprocess != "auto":
        raise click.UsageError("--postprocess says how a model is run, and changes nothing in it")
    data = read_bytes(model)
    names = None
    if labels:
        found = load_labels(labels)
        names = [found.name(index) for index in range(len(found))]
    changes = {name: value for name, value in settings.items() if value is not None}
    if not (changes or names or metadata or cut or anchors):
        raise click.UsageError("say what to change: see --help")
    given = _anchors(anchors, data) if anchors else None
    edited = edit(data, labels=names, cut=cut, anchors=given, metadata=metadata, **changes)
    write_bytes(output_file, edited)
    click.echo(output_file)


def _anchors(text: str, data: bytes) -> Any:
    if text == "carried":
        from flatshot.runtime.anatomy import read_anatomy

        found = read_anatomy(data).anchors
        if found is None:
            raise ConfigError("the model carries no anchors: give a file")
        return found
    try:
        return np.load(text, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"--anchors {text}: no array of anchors (.npy): {error}") from error
