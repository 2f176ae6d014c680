"""`flatshot demo`: the whole road on a checkpoint that it writes itself."""

from pathlib import Path

import click

from flatshot.demo.tiny import write_tiny_checkpoint


@click.command()
@click.option(
    "--output", "-o", default="flatshot-demo", show_default=True, metavar="DIR", help="to write to"
)
@click.pass_context
def command(ctx: click.Context, /, output: str) -> int:
    """Write a tiny checkpoint with random weights, and make and show its models.

    It needs no download and no data. The detector finds nothing: it serves to see the road work.
    """
    from flatshot.cli.main import run

    out = Path(output)
    write_tiny_checkpoint(out)
    regular = ["--use_regular_nms", "--max_detections", "auto"]
    steps = [
        ["export", str(out), "-o", str(out), *regular],
        ["convert", str(out / "tflite_graph.pb"), "-o", str(out / "detect.tflite")],
        ["convert", str(out), "-o", str(out / "detect_cut.tflite"), "--cut", *regular],
        ["inspect", str(out / "detect.tflite")],
    ]
    for step in steps:
        click.echo(f"\n$ flatshot {' '.join(step)}", err=True)
        if code := run(step):
            return code
    return 0
