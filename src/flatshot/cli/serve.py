"""`flatshot serve`: a page on this machine to try models on."""

import socket
from pathlib import PurePath
from typing import TYPE_CHECKING

import click

from flatshot.cli.places import place
from flatshot.errors import ConfigError

if TYPE_CHECKING:
    from flatshot.serve.tryout import Tryout


@click.command("serve")
@click.argument("models", nargs=-1, required=True, callback=place, metavar="MODEL [MODEL2]")
@click.option("--dataset", callback=place, help="A COCO-format data set to step through.")
@click.option("--labels", callback=place, help="Names of the classes: a file or a package.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8321,
    show_default=True,
    help="Port on 127.0.0.1; 0 takes a free one.",
)
def command(models: tuple[str, ...], dataset: str | None, labels: str | None, port: int) -> None:
    r"""Open a page to try one MODEL or two side by side: drop a photograph, move a slider.

    It answers on 127.0.0.1 alone, keeps nothing on disk, and ends with Ctrl-C. It needs the extra
    `flatshot[serve]`.

    \b
    flatshot serve detect.tflite
    flatshot serve float.tflite int8.tflite --dataset coco/
    """
    if len(models) > 2:
        raise click.UsageError("serve takes one model, or two to be compared")
    try:
        import uvicorn

        from flatshot.serve.app import make_app
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"serve needs {error.name}, which is not installed: pip install 'flatshot[serve]'"
        ) from error
    tryout = _tryout(models, dataset, labels)
    with _listen(port) as listener:
        port = listener.getsockname()[1]
        config = uvicorn.Config(
            make_app(tryout, port), log_level="warning", access_log=False, server_header=False
        )
        click.echo(f"http://127.0.0.1:{port}/ (Ctrl-C ends it)", err=True)
        uvicorn.Server(config).run(sockets=[listener])


def _tryout(models: tuple[str, ...], dataset: str | None, labels: str | None) -> "Tryout":
    from flatshot.evaluation.dataset import CocoDataset
    from flatshot.runtime.detector import Detector
    from flatshot.serve.tryout import Tryout

    names = [PurePath(model).name for model in models]
    if len(set(names)) < len(names):
        names = [f"{number}: {name}" for number, name in enumerate(names, 1)]
    detectors = {
        name: Detector(model, labels=labels) for name, model in zip(names, models, strict=True)
    }
    return Tryout(detectors, CocoDataset(dataset) if dataset else None)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        # A server that has just ended leaves its port waiting for a minute.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"cannot serve on port {port}: {error.strerror}; choose another with --port"
        ) from error
    return listener
