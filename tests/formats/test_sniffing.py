"""Files that are something else are told by name, wherever they are given."""

from collections.abc import Callable
from pathlib import Path

import pytest

from flatshot.errors import FlatshotError
from flatshot.formats.checkpoint import Checkpoint
from flatshot.formats.graph_files import load_graph
from flatshot.formats.pipeline import load_pipeline
from flatshot.formats.sniffing import kind_of, mistaken
from flatshot.inspection.models import inspect_model
from flatshot.runtime.detector import Detector

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:5\nsize 4\n"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"<!DOCTYPE html>\n<html>", "a web page (HTML)"),
        (b"\xef\xbb\xbf\n<HTML lang=en>", "a web page (HTML)"),
        (POINTER, "a Git LFS pointer"),
        (b"../../.git/annex/objects/x", "a git-annex pointer"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code>', "a server's error report (XML)"),
        (b"404: Not Found", "a server's error message"),
        (b'{"message": "Not Found"}', "a server's error message"),
        (b"PK\x03\x04" + bytes(30), "a ZIP archive"),
        (b"\x1f\x8b\x08" + bytes(30), "a gzip file (.gz, .tar.gz)"),
        (b"x" * 257 + b"ustar\x0000", "a tar archive"),
        (b"\x89HDF\r\n\x1a\n", "a Keras file (HDF5)"),
        (b"\x1c\0\0\0TFL3", "a TensorFlow Lite model"),
        (b"", "an empty file"),
        (bytes(100), "a file of zeros"),
        (b"item {\n id: 1", "a label map"),
        (b"model {\n ssd {", "a pipeline configuration"),
        (b"hello", None),
    ],
)
def test_kinds(data: bytes, kind: str | None) -> None:
    """By the first bytes."""
    assert kind_of(data) == kind


def test_what_was_asked_for_is_not_mistaken() -> None:
    """A damaged model is no other thing."""
    assert mistaken(b"\x1c\0\0\0TFL3", "a TensorFlow Lite model") is None


READERS: dict[str, Callable[[Path], object]] = {
    "detect.tflite": Detector,
    "inspected.tflite": lambda path: inspect_model(path.read_bytes()),
    "graph.pb": load_graph,
    "graph.pbtxt": load_graph,
    "model.json": load_graph,
    "model.meta": load_graph,
    "pipeline.config": load_pipeline,
    "model.ckpt.index": lambda path: Checkpoint(path.with_suffix("")),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("data", "says"), [(POINTER, "Git LFS pointer"), (b"<html><body>404", r"web page \(HTML\)")]
)
def test_every_reader_says_so(tmp_path: Path, name: str, data: bytes, says: str) -> None:
    """In one line."""
    (tmp_path / name).write_bytes(data)
    with pytest.raises(FlatshotError, match=says) as caught:
        READERS[name](tmp_path / name)
    assert "\n" not in str(caught.value)


def test_the_data_of_a_checkpoint(tiny: Path, tmp_path: Path) -> None:
    """A pointer beside a sound index is told when its variables are read."""
    for path in tiny.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (data,) = tmp_path.glob("*.data-*")
    data.write_bytes(POINTER)
    checkpoint = Checkpoint(tmp_path)
    with pytest.raises(FlatshotError, match="a Git LFS pointer, not the data of a checkpoint"):
        checkpoint.read(max(checkpoint, key=lambda name: checkpoint[name].size))


def test_the_files_that_people_reported(data: Path) -> None:
    """Each says what it is and what to do."""
    folder = data / "cases" / "15-not-a-model"
    for name, says in (
        ("page.tflite", "web page"),
        ("pointer.tflite", "git lfs pull"),
        ("zipped.tflite", "a ZIP archive.*unpack it"),
    ):
        with pytest.raises(FlatshotError, match=says):
            Detector(folder / name)
    for name, says in (("page.pb", "web page"), ("pointer.pb", "LFS"), ("model.json", "LFS")):
        with pytest.raises(FlatshotError, match=says):
            load_graph(folder / name)
    with pytest.raises(FlatshotError, match="web page"):
        load_pipeline(folder / "page.config")
