"""Models under attack: sound ones, and what is done with each changed one."""

import contextlib
from pathlib import Path

import numpy as np

import flatshot
from flatshot.compiler.emitter import emit
from flatshot.compiler.passes import run_passes
from flatshot.compiler.reader import read_graph
from flatshot.formats import tflite
from flatshot.formats.detector_metadata import describe_detector
from flatshot.formats.model_metadata import input_normalization, read_model_metadata
from flatshot.inspection.inspect import inspect
from flatshot.runtime.detector import Detector
from flatshot.runtime.edit import edit
from tests.compiler.test_each_op import CASES
from tests.hostile import samples
from tests.runtime.tiny import Tiny, with_labels

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


def detect(path: Path) -> None:
    """With either post-processing, and inspected."""
    for way in ("auto", "op"):
        with contextlib.suppress(flatshot.FlatshotError):
            Detector(path, postprocess=way, score_threshold=0.3)(PIXELS)
    inspect(path)


def compare(path: Path) -> None:
    """With itself, so that each operator runs on its plain kernel."""
    flatshot.compare(path, path)


def detectors() -> list[bytes]:
    """Of each element type and make."""
    made = [Tiny().bytes(), Tiny(cut=True, carried=True).bytes(), Tiny(dtype=np.uint8).bytes()]
    made += [Tiny(dtype=np.int8, anchors="uint8").bytes(), Tiny(anchors="float16").bytes()]
    made += [Tiny(anchors="computed", signature=True).bytes(), Tiny(hidden=True).bytes()]
    return [*made, with_labels(Tiny().bytes(), "???\ncat\ndog\n"), samples.model()]


def operators() -> list[bytes]:
    """A model of each operator that the compiler writes."""
    found = []
    for cases in CASES.values():
        made = flatshot.convert(cases[0], output_arrays=["y"], inference_type="FLOAT")
        found.append(bytes(made.to_bytes()))
    return found


def all_models() -> list[bytes]:
    """Detectors and operators."""
    return [*detectors(), *operators()]


def read_back(path: Path) -> None:
    """Into the compiler's graph, and out again."""
    graph = read_graph(tflite.read_model(path.read_bytes()))
    run_passes(graph)
    tflite.write_model(emit(graph, "campaign", {}))


def edit_all_ways(path: Path) -> None:
    """Other settings, labels, metadata, cut, and with an operator."""
    data = path.read_bytes()
    changes = (
        {"max_detections": 3},
        {"labels": ["a", "b", "c"]},
        {"metadata": True},
        {"cut": True},
    )
    for change in (*changes, {"anchors": np.ones((36, 4), np.float32)}):
        with contextlib.suppress(flatshot.FlatshotError):
            edit(data, **change)


def metadata() -> list[bytes]:
    """TensorFlow Lite's model metadata, as we write it."""
    return [
        describe_detector(scale=[2 / 255], offset=[-1], labelled=True),
        describe_detector(channels=1),
    ]


def use_metadata(path: Path) -> None:
    """What it says of the input."""
    input_normalization(read_model_metadata(path.read_bytes()), 3)
