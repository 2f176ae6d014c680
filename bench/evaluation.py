"""How fast and how lean the benchmark loop is, as ratios within one run.

`FLATSHOT_TEST_DATA=DIR python -m bench.evaluation` takes a model and images from DIR; without it
only scoring is measured. It takes about six minutes, two of them for pycocotools. The processor's
time stands beside the clock's: others on the machine slow the clock more.
"""

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from bench.conversion import FULL_WIDTH
from bench.report import header, row
from flatshot.demo.tiny import write_tiny_checkpoint
from flatshot.evaluation.annotations import GroundTruth
from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import Progress, evaluate
from flatshot.evaluation.machine import cores
from flatshot.evaluation.metrics import FloatArray, score
from flatshot.runtime.detector import Detector

ROUNDS = 2
PIECE = 150
MODEL = "oracle/toco_detect_regular.tflite"
IMAGES = "coco_val2017_310"
# Random weights give 90 classes scores around a half; so high, some tens of detections are left.
RANDOM_THRESHOLD = 0.98


def main() -> None:
    """Print all rows."""
    folder = os.environ.get("FLATSHOT_TEST_DATA")
    header("benchmarking: JPEG to mAP, one single-thread interpreter a core")
    if folder:
        with tempfile.TemporaryDirectory() as made:
            for name, model in (
                ("depth 0.75", Path(folder) / MODEL),
                ("full width (random)", full_width_model(Path(made))),
            ):
                loop_against_bare_interpreters(name, model, Path(folder))
        low_threshold_against_high(Path(folder))
        memory_of_many_images(Path(folder))
    scoring_against_pycocotools()


def full_width_model(folder: Path) -> Path:
    """A SSD MobileNet V1 of full width for 300 x 300 pixels, 90 classes, regular suppression."""
    write_tiny_checkpoint(folder, FULL_WIDTH)
    threshold = f"batch_non_max_suppression {{ score_threshold: {RANDOM_THRESHOLD} }}"
    return _converted(
        folder,
        *("--config_override", f"model {{ ssd {{ post_processing {{ {threshold} }} }} }}"),
        *("--use_regular_nms", "--max_detections", "100"),
    )


def _converted(folder: Path, *options: str) -> Path:
    target = folder / "detect.tflite"
    command = [sys.executable, "-m", "flatshot", "convert", str(folder), "-o", str(target)]
    subprocess.run([*command, *options], capture_output=True, check=True)
    return target


def loop_against_bare_interpreters(name: str, model: Path, data: Path) -> None:
    """JPEG to mAP, against interpreters of the same file that only invoke, on ready tensors."""
    detector = Detector(model)
    dataset = CocoDataset(data / IMAGES)
    tensors = [detector.prepare(detector.load(image.path)) for image in dataset.images[:60]]
    loops, bare, found = [], [], 0
    for _ in range(ROUNDS):
        bare.append(_bare(model, tensors, len(dataset)))
        rate, cpu, found = _loop(model, dataset, len(dataset))
        loops.append((rate, cpu))
    (rate, least), (bare_rate, bare_least) = _best(loops), _best(bare)
    row(
        f"images/s, whole loop / bare interpreters, {name}",
        rate / bare_rate,
        ">= 0.85",
        f"{rate:.1f} / {bare_rate:.1f}; {found / len(dataset):.0f} detections an image",
    )
    row(
        f"the same, per second of the processor, {name}",
        bare_least / least,
        ">= 0.85",
        f"{1000 * least:.1f} / {1000 * bare_least:.1f} ms an image",
    )


def low_threshold_against_high(data: Path) -> None:
    """Regular NMS that keeps 100 detections an image, against one that keeps the likely ones."""
    dataset = CocoDataset(data / IMAGES)
    for postprocess, target, images in (("auto", "<= 1.20", PIECE), ("op", "-", PIECE // 2)):
        rounds: dict[float, list[tuple[float, float]]] = {0.3: [], 1e-8: []}
        for _ in range(ROUNDS if postprocess == "auto" else 1):
            for threshold, measured in rounds.items():
                rate, cpu, _ = _loop(
                    data / MODEL,
                    dataset,
                    images,
                    score_threshold=threshold,
                    postprocess=postprocess,
                )
                measured.append((rate, cpu))
        (high, high_cpu), (low, low_cpu) = map(_best, rounds.values())
        row(
            f"time of the whole loop, threshold 1e-8 / 0.3, NMS by {postprocess}",
            high / low,
            target,
            f"{high:.1f} / {low:.1f} images/s; processor {1000 * low_cpu:.1f} / "
            f"{1000 * high_cpu:.1f} ms an image",
        )


def _best(rounds: list[tuple[float, float]]) -> tuple[float, float]:
    """The greatest rate and the least time: others on the machine only ever slow things down."""
    return max(rate for rate, _ in rounds), min(cpu for _, cpu in rounds)


# Linux hands ru_maxrss on from the process that starts another one; VmHWM is the process's own.
MEMORY = """
import re, sys
from flatshot.evaluation.dataset import CocoDataset
from flatshot.evaluation.evaluate import evaluate
from flatshot.runtime.detector import Detector
detector = Detector(sys.argv[1])
result = evaluate(detector, CocoDataset(sys.argv[2]), latency_images=0)
peak = re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]
print(int(peak) // 1024, len(result.detections))
"""


def memory_of_many_images(data: Path, many: int = 5000) -> None:
    """The greatest memory of a process over 5,000 images, against 310 of them."""
    with tempfile.TemporaryDirectory() as folder:
        repeat_dataset(data / IMAGES, Path(folder), many)
        sizes = []
        for dataset in (data / IMAGES, Path(folder)):
            command = [sys.executable, "-c", MEMORY, str(data / MODEL), str(dataset)]
            done = subprocess.run(command, capture_output=True, check=True, text=True)
            sizes.append([int(word) for word in done.stdout.split()])
    (few_mb, few_rows), (many_mb, many_rows) = sizes
    row(
        f"memory, {many} images / 310 images, depth 0.75",
        many_mb / few_mb,
        "flat",
        f"{many_mb} / {few_mb} MB for {many_rows} / {few_rows} detections",
    )


def repeat_dataset(source: Path, target: Path, number: int) -> None:
    """A data set of that many images: those of `source` again and again, under new numbers."""
    (file,) = (source / "annotations").glob("*.json")
    content = json.loads(file.read_bytes())
    images, annotations = content["images"], content["annotations"]
    repeated: dict[str, list[dict[str, Any]]] = {"images": [], "annotations": []}
    for start in range(0, number, len(images)):
        chosen = images[: number - start]
        ids = {image["id"]: start + place for place, image in enumerate(chosen)}
        repeated["images"] += [{**image, "id": ids[image["id"]]} for image in chosen]
        repeated["annotations"] += [
            {**one, "image_id": ids[one["image_id"]]}
            for one in annotations
            if one["image_id"] in ids
        ]
    for place, one in enumerate(repeated["annotations"], 1):
        one["id"] = place
    (target / "annotations").mkdir()
    (target / "annotations" / file.name).write_text(json.dumps({**content, **repeated}))
    name = file.stem.removeprefix("instances_")
    (target / name).symlink_to((source / name).resolve())


def scoring_against_pycocotools(images: int = 5000, each: int = 100) -> None:
    """Taking the figures of 5,000 images with 100 detections each."""
    truth, categories, detections = random_problem(images, each)
    ids = np.arange(images)
    begin = time.perf_counter()
    ours = score(truth, categories, ids, detections).figures.values()
    fast = time.perf_counter() - begin
    theirs, slow = _pycocotools(truth, categories, images, detections)
    assert max(abs(a - b) for a, b in zip(ours, theirs, strict=True)) <= 1e-12
    row(
        f"time to score {images} x {each} detections, pycocotools / ours",
        slow / fast,
        ">= 20",
        f"{slow:.1f} / {fast:.2f} s, equal figures",
    )


def random_problem(images: int, each: int) -> tuple[GroundTruth, dict[int, str], FloatArray]:
    """Seven objects an image of 80 categories, a part of them found, and many false alarms."""
    rng = np.random.default_rng(5)
    objects = 7 * images
    boxes = np.column_stack([rng.random((objects, 2)) * 400, 5 + rng.random((objects, 2)) * 200])
    truth = GroundTruth(
        np.repeat(np.arange(images), 7),
        rng.integers(1, 81, objects),
        boxes,
        boxes[:, 2] * boxes[:, 3],
        rng.random(objects) < 0.0125,
    )
    rows = np.empty((images, each, 7))
    rows[..., 0] = np.arange(images)[:, None]
    rows[..., 1:3] = rng.random((images, each, 2)) * 400
    rows[..., 3:5] = 5 + rng.random((images, each, 2)) * 200
    rows[..., 5] = rng.random((images, each))
    rows[..., 6] = rng.integers(1, 81, (images, each))
    rows[:, :7, 1:5] = (boxes + rng.normal(size=boxes.shape) * 4).reshape(images, 7, 4)
    rows[:, :7, 3:5] = np.maximum(rows[:, :7, 3:5], 1)
    rows[:, :7, 6] = truth.category_ids.reshape(images, 7)
    return truth, {number: str(number) for number in range(1, 81)}, rows.reshape(-1, 7)


def _pycocotools(
    truth: GroundTruth, categories: dict[int, str], images: int, detections: FloatArray
) -> tuple[list[float], float]:
    """The twelve figures by pycocotools, and the seconds from arrays to figures."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        begin = time.perf_counter()
        ground = COCO()
        ground.dataset = {
            "info": {},
            "images": [{"id": identity} for identity in range(images)],
            "categories": [{"id": key, "name": name} for key, name in categories.items()],
            "annotations": [
                {
                    "id": place + 1,
                    "image_id": int(truth.image_ids[place]),
                    "category_id": int(truth.category_ids[place]),
                    "bbox": truth.boxes[place].tolist(),
                    "area": float(truth.areas[place]),
                    "iscrowd": int(truth.crowds[place]),
                }
                for place in range(len(truth))
            ],
        }
        ground.createIndex()
        evaluation = COCOeval(ground, ground.loadRes(detections), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
        return [float(value) for value in evaluation.stats], time.perf_counter() - begin


def _loop(
    model: Path, dataset: CocoDataset, images: int, **arguments: Any
) -> tuple[float, float, int]:
    """Images per second of the whole loop, seconds of the processor for an image, detections."""
    begin = 0.0

    def start(progress: Progress) -> None:
        nonlocal begin
        if progress.image is None:  # the interpreters are made
            begin = time.process_time()

    detector = Detector(model, **arguments)
    result = evaluate(detector, dataset, count=images, latency_images=0, progress=start)
    (rate,) = result.timing.images_per_second
    assert rate is not None
    return rate, (time.process_time() - begin) / result.images, len(result.detections)


def _bare(model: Path, tensors: list[Any], number: int) -> tuple[float, float]:
    """One single-thread interpreter a core of the file as it is, sharing `number` invocations.

    Returns:
        Invocations per second, and seconds of the processor for one.
    """
    from ai_edge_litert.interpreter import Interpreter

    left = iter(range(number))

    def work(interpreter: Interpreter, place: int) -> None:
        # `next` on a range's iterator is one step for Python's lock.
        while (turn := next(left, None)) is not None:
            interpreter.set_tensor(place, tensors[turn % len(tensors)])
            interpreter.invoke()

    threads = []
    for _ in range(cores()):
        interpreter = Interpreter(model_path=str(model), num_threads=1)
        interpreter.allocate_tensors()
        place = interpreter.get_input_details()[0]["index"]
        interpreter.set_tensor(place, tensors[0])
        interpreter.invoke()
        threads.append(threading.Thread(target=work, args=(interpreter, place)))
    begin, begin_cpu = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return number / (time.perf_counter() - begin), (time.process_time() - begin_cpu) / number


if __name__ == "__main__":
    main()
