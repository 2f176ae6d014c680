"""What detecting costs beside the network: post-processing against the operator, and images.

`FLATSHOT_TEST_DATA=DIR python -m bench.runtime` takes photographs and a real model from DIR;
without it the raw outputs and the photograph are made up, and the rows that need a model are left
out. Both sides of a ratio run in turn; a row is the ratio of the medians.
"""

import io
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.report import header, row
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.runtime import images, nms
from flatshot.runtime.detector import Detector
from tests.runtime.tiny import OPTIONS, operator_model

ROUNDS = 15
MODEL = "oracle/toco_detect_regular.tflite"
PHOTOGRAPHS = "coco_val2017_310/val2017"
Array = npt.NDArray[Any]


def main() -> None:
    """Print all rows."""
    folder = os.environ.get("FLATSHOT_TEST_DATA")
    data = Path(folder) if folder else None
    header("detecting: 1917 anchors, 90 classes, 100 detections, one thread")
    post_processing(data)
    pictures(data)
    if data is not None:
        thresholds(data)


def post_processing(data: Path | None) -> None:
    """NumPy against LiteRT's operator, alone in a model."""
    problems = _recorded(data) if data is not None else [_made_up()]
    for regular, kind in ((True, "regular"), (False, "fast")):
        for threshold, target in ((1e-8, "< 0.1" if regular else ""), (0.3, "")):
            settings = PostProcessSettings.from_options(OPTIONS).override(
                num_classes=90,
                max_detections=100,
                use_regular_nms=regular,
                nms_score_threshold=threshold,
                nms_iou_threshold=0.6,
            )
            here, there = _alternate(_numpy(problems, settings), _operator(problems, settings))
            each = 1000 / len(problems)
            row(
                f"{kind} NMS at threshold {threshold:g}: NumPy / operator",
                here / there,
                target,
                f"{here * each:.1f} / {there * each:.1f} ms",
            )


def pictures(data: Path | None) -> None:
    """Decoding and resizing against Pillow."""
    from PIL import Image

    files = _photographs(data)

    def pillow() -> list[Array]:
        return [np.asarray(Image.open(io.BytesIO(f)).convert("RGB")) for f in files]

    here, there = _alternate(lambda: [images.decode(f) for f in files], pillow)
    each = 1000 / len(files)
    row(
        "decoding JPEGs / Pillow", here / there, "< 1", f"{here * each:.1f} / {there * each:.1f} ms"
    )
    pixels = [images.decode(f) for f in files]
    here, there = _alternate(
        lambda: [images.resize(p, 300, 300, "tensorflow") for p in pixels],
        lambda: [images.resize(p, 300, 300, "pillow") for p in pixels],
    )
    row(
        "resizing as TensorFlow does / as Pillow does",
        here / there,
        "< 1",
        f"{here * each:.1f} / {there * each:.1f} ms",
    )


def thresholds(data: Path) -> None:
    """From file to detections at a threshold that lets everything through, and at .3."""
    files = _photographs(data)
    low = Detector(data / MODEL, score_threshold=1e-8)
    high = Detector(data / MODEL, score_threshold=0.3)
    here, there = _alternate(
        lambda: [low(f) for f in files], lambda: [high(f) for f in files], rounds=5
    )
    each = 1000 / len(files)
    row(
        "an image with regular NMS at threshold 1e-8 / at 0.3",
        here / there,
        "< 1.2",
        f"{here * each:.1f} / {there * each:.1f} ms",
    )


def _alternate(
    one: Callable[[], object], other: Callable[[], object], rounds: int = ROUNDS
) -> tuple[float, float]:
    """Median seconds of each, run in turn after a first go that does not count."""
    one(), other()
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for call, into in zip((one, other), seconds, strict=True):
            start = time.perf_counter()
            call()
            into.append(time.perf_counter() - start)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


def _numpy(
    problems: list[tuple[Array, Array, Array]], settings: PostProcessSettings
) -> Callable[[], object]:
    return lambda: [nms.postprocess(*problem, settings) for problem in problems]


def _operator(
    problems: list[tuple[Array, Array, Array]], settings: PostProcessSettings
) -> Callable[[], None]:
    from ai_edge_litert.interpreter import Interpreter

    boxes, scores, _ = problems[0]
    content = operator_model(boxes.shape, scores.shape[1], settings.to_options())
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    inputs = [detail["index"] for detail in interpreter.get_input_details()]

    def run() -> None:
        for encodings, predictions, anchors in problems:
            feeds = (encodings[None], predictions[None], anchors)
            for index, value in zip(inputs, feeds, strict=True):
                interpreter.set_tensor(index, value)
            interpreter.invoke()

    return run


def _recorded(data: Path) -> list[tuple[Array, Array, Array]]:
    """The raw outputs of a real network on three photographs."""
    with np.load(data / "oracle" / "raw_outputs.npz") as arrays:
        names = [name.split("/")[0] for name in arrays.files if name.endswith("/image")]
        return [
            (
                arrays[f"{name}/box_encodings"].reshape(-1, 4),
                arrays[f"{name}/class_predictions"].reshape(-1, 91),
                arrays["anchors"],
            )
            for name in names
        ]


def _made_up() -> tuple[Array, Array, Array]:
    """Raw outputs with scores as a network has them: nearly all of them small."""
    rng = np.random.default_rng(1)
    scores = 1 / (1 + np.exp(rng.normal(7, 2, (1917, 91))))
    encodings = rng.normal(0, 2, (1917, 4))
    anchors = rng.uniform(0.05, 0.9, (1917, 4))
    return tuple(a.astype(np.float32) for a in (encodings, scores, anchors))  # type: ignore[return-value]


def _photographs(data: Path | None) -> list[bytes]:
    if data is not None:
        return [path.read_bytes() for path in sorted((data / PHOTOGRAPHS).glob("*.jpg"))[:20]]
    from PIL import Image

    y, x = np.mgrid[0:480, 0:640]
    noise = np.random.default_rng(2).normal(0, 12, (480, 640, 3))
    waves = [np.sin(x / (20 + 9 * k)) * np.cos(y / 31) * 90 + 128 for k in range(3)]
    pixels = np.clip(np.stack(waves, axis=2) + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    return [file.getvalue()]


if __name__ == "__main__":
    main()
