"""Runs to be shown, made up: a small data set on disk and detections of any quality."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.metrics import FloatArray, score
from flatshot.report.study import Study

SETTINGS = {
    "use_regular_nms": True,
    "nms_score_threshold": 0.05,
    "nms_iou_threshold": 0.6,
    "max_detections": 100,
    "detections_per_class": 100,
    "max_classes_per_detection": 1,
    "num_classes": 3,
}


def write_set(root: Path, names: Sequence[str], images: int = 8, objects: int = 4) -> CocoDataset:
    """`images` grey images with `objects` boxes each, of classes in turn, and one crowd."""
    (root / "annotations").mkdir(parents=True)
    (root / "pictures").mkdir()
    rng = np.random.default_rng(7)
    rows: list[dict[str, Any]] = []
    for image in range(images):
        picture = Image.new("RGB", (160, 120), (90 + image, 120, 150))
        picture.save(root / "pictures" / f"{image:02}.jpg")
        for number in range(objects):
            size = float(rng.choice([12, 40, 100]))
            x, y = rng.uniform(0, 160 - size), rng.uniform(0, 120 - min(size, 100))
            box = [float(x), float(y), size, min(size, 100.0)]
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image,
                    "category_id": 1 + len(rows) % len(names),
                    "bbox": box,
                    "iscrowd": int(image == 0 and number == 0),
                }
            )
    content = {
        "images": [{"id": n, "file_name": f"{n:02}.jpg", "license": 1} for n in range(images)],
        "licenses": [{"id": 1, "name": "CC <BY>", "url": "javascript:alert(1)"}],
        "categories": [{"id": n, "name": name} for n, name in enumerate(names, 1)],
        "annotations": rows,
    }
    (root / "annotations" / "instances_pictures.json").write_text(json.dumps(content))
    return CocoDataset(root)


def found_boxes(dataset: CocoDataset, keep: float = 0.7, seed: int = 1) -> FloatArray:
    """Detections of a share `keep` of the objects, somewhat off, and as many false ones."""
    rng = np.random.default_rng(seed)
    truth = dataset.truth
    rows = []
    for place in np.flatnonzero(rng.random(len(truth)) < keep):
        box = truth.boxes[place] + rng.normal(0, 1.5, 4)
        sure = rng.uniform(0.4, 1)
        rows.append((truth.image_ids[place], *box, sure, truth.category_ids[place]))
        false = (*rng.uniform(0, 100, 2), *rng.uniform(5, 50, 2))
        rows.append((truth.image_ids[place], *false, rng.uniform(0.05, 0.7), 1))
    return np.array(rows, np.float64).reshape(-1, 7)


def study(
    dataset: CocoDataset, detections: FloatArray, name: str = "model.tflite", **more: Any
) -> Study:
    """The run that found `detections`, with the figures that `evaluate` would record."""
    ids = [image.id for image in dataset.images]
    scores = score(dataset.truth, dataset.categories, ids, detections)
    spread = {"min": 0.01, "mean": 0.012, "median": 0.011, "p90": 0.015, "p99": 0.02}
    stages = ("total", "load", "preprocess", "network", "nms")
    content = {
        "model": name,
        "dataset": str(dataset.annotations),
        "metrics": scores.figures.named(),
        "settings": SETTINGS,
        "timing": {"latency": {"images": 8, **dict.fromkeys(stages, spread)}},
        "images": len(ids),
        "dataset_sha256": dataset.sha256,
        "options": {"resize": "tensorflow", "threads": 1},
        "versions": {"flatshot": "0"},
        **more,
    }
    return Study(name, content, detections, dataset)
