"""Real detectors in real numbers, int8, halves and int8 weights: accuracy, time, bytes.

    FLATSHOT_TEST_DATA=... python -m bench.quantising [NAME=PLACE ...]

PLACE is whatever `flatshot convert` takes, or a .tflite; by default a file of the real data. Of its
310 images every other one may calibrate, and the others are scored: no image does both.
Times are of the network on one thread, the models in turn, medians.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import flatshot
from flatshot.evaluation.dataset import CocoDataset
from flatshot.formats.files import read_bytes

ROUNDS = 40
SETTINGS: dict[str, Any] = {"score_threshold": 1e-8, "max_detections": 100, "nms": "regular"}


def main() -> None:
    """Print a row for each model and form."""
    data = Path(os.environ["FLATSHOT_TEST_DATA"])
    named = dict(text.split("=", 1) for text in sys.argv[1:])
    models = named or {"V1 0.75": str(data / "oracle/toco_detect_regular.tflite")}
    images = sorted((data / "coco_val2017_310/val2017").glob("*.jpg"))
    print("| model | form | mAP | Recall | ms | MB |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        scored = _every_other(data / "coco_val2017_310", images, Path(folder))
        for name, place in models.items():
            _rows(name, place, images[1::2], scored)


def _every_other(source: Path, images: list[Path], folder: Path) -> CocoDataset:
    """The data set of every other image, from the first."""
    names = {path.name for path in images[::2]}
    truth = json.loads((source / "annotations/instances_val2017.json").read_text())
    truth["images"] = [image for image in truth["images"] if image["file_name"] in names]
    kept = {image["id"] for image in truth["images"]}
    truth["annotations"] = [row for row in truth["annotations"] if row["image_id"] in kept]
    for place in ("annotations", "val2017"):
        (folder / place).mkdir()
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(truth))
    for name in names:
        (folder / "val2017" / name).symlink_to(source / "val2017" / name)
    return CocoDataset(folder)


def _rows(name: str, place: str, calibration: list[Path], scored: CocoDataset) -> None:
    forms = {"float": _float(place)}
    forms["int8"] = bytes(flatshot.quantize(forms["float"], calibration).to_bytes())
    for kind in ("float16", "weights"):
        small = flatshot.quantize(forms["float"], to=kind)
        forms[kind] = bytes(small.to_bytes())
    detectors = {form: flatshot.Detector(data, **SETTINGS) for form, data in forms.items()}
    times = _times(detectors, calibration[0])
    for form, detector in detectors.items():
        result = flatshot.evaluate(detector, scored, latency_images=0)
        print(
            f"| {name} | {form} | {100 * result.mAP:.2f} | {100 * result.recall:.2f} | "
            f"{1000 * times[form]:.2f} | {len(forms[form]) / 1e6:.2f} |",
            flush=True,
        )


def _float(place: str) -> bytes:
    if place.endswith(".tflite"):
        return read_bytes(place)
    return bytes(flatshot.convert(place, inference_type="FLOAT").to_bytes())


def _times(detectors: dict[str, flatshot.Detector], image: Path) -> dict[str, float]:
    """Seconds of each network, taken in turn."""
    seconds: dict[str, list[float]] = {form: [] for form in detectors}
    for _ in range(ROUNDS):
        for form, detector in detectors.items():
            prepared = detector.prepare(detector.load(image))
            start = time.process_time()
            detector.network(prepared)
            seconds[form].append(time.process_time() - start)
    return {form: statistics.median(values) for form, values in seconds.items()}


if __name__ == "__main__":
    main()
