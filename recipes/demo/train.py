"""Train the demo's detector on scenes drawn from seeds, and write it as a TensorFlow checkpoint.

    python recipes/demo/train.py -o src/flatshot/demo/detector

Same seed, same machine, same versions, same number of threads: same checkpoint. See README.md.
"""

import argparse
import logging
import math
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from network import Network
from torch import Tensor
from torch.nn import functional

from flatshot.demo import scenes
from flatshot.formats.checkpoint import write_checkpoint
from flatshot.formats.pipeline import load_pipeline
from flatshot.models.detection_config import DetectionConfig, read_config
from flatshot.runtime import images

LOG = logging.getLogger("train")
T = TypeVar("T")

HERE = Path(__file__).resolve().parent
# Held-out scenes have seeds from 0, far from these.
FIRST_SCENE = 1_000_000
# Smooth L1 is quadratic below this, in units of box codes: a small one asks for exact boxes.
DELTA = 0.2
ALPHA, GAMMA = 0.5, 2.0
# Of the boxes' loss beside that of the classes, which are what is learned last.
BOXES = 0.4
AVERAGE = 0.998
# Mirrored, a corner's coordinate becomes 1 less itself.
DOWN = torch.tensor([-1.0, 1.0, -1.0, 1.0])
ACROSS = torch.tensor([1.0, -1.0, 1.0, -1.0])


@dataclass(frozen=True)
class Truth:
    """Boxes (scenes, most, 4) as y0, x0, y1, x1 in 0..1; classes (scenes, most), -1 for none."""

    boxes: Tensor
    classes: Tensor


def main() -> None:
    """Read the command line; draw, train, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the detector's folder")
    parser.add_argument("--work", type=Path, default=Path("work"), help="for scenes and states")
    parser.add_argument("--scenes", type=int, default=6000)
    parser.add_argument("--steps", type=int, default=10000, help="of the learning rate's fall")
    parser.add_argument("--stop", type=int, default=8500, help="how many of them are taken")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument("--threads", type=int, default=1, help="more are slower at this size")
    arguments = parser.parse_args()

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(arguments.threads)
    torch.use_deterministic_algorithms(True)
    torch.manual_seed(arguments.seed)
    arguments.work.mkdir(parents=True, exist_ok=True)
    config = read_config(load_pipeline(HERE / "pipeline.config"))
    pixels, truth = drawn(arguments.work, arguments.scenes)
    network = Network(config).to(memory_format=torch.channels_last)
    average = train(network, config, pixels, truth, arguments)
    network.load_state_dict(average)
    write(network, arguments.output, arguments.stop)


def drawn(work: Path, count: int) -> tuple[np.ndarray, Truth]:
    """The training scenes' pixels (count, h, w, 3) uint8, mapped from `work`, and their truth."""
    place = work / f"scenes-{count}.npy"
    truth_place = work / f"truth-{count}.npz"
    if not truth_place.is_file():
        shape = (count, *scenes.SIZE, 3)
        pixels = np.lib.format.open_memmap(place, "w+", np.uint8, shape)
        boxes, classes = [], []
        seeds = range(FIRST_SCENE, FIRST_SCENE + count)
        with multiprocessing.Pool() as pool:
            for number, scene in enumerate(pool.imap(scenes.draw_scene, seeds, chunksize=20)):
                pixels[number] = scene[0]
                boxes.append(scene[1])
                classes.append(scene[2])
        pixels.flush()
        counts = np.array([len(found) for found in classes])
        np.savez(
            truth_place,
            boxes=np.concatenate(boxes),
            classes=np.concatenate(classes),
            counts=counts,
        )
    with np.load(truth_place) as stored:
        return np.load(place, mmap_mode="r"), padded(**stored)


def padded(boxes: np.ndarray, classes: np.ndarray, counts: np.ndarray) -> Truth:
    """The truth of all scenes in two tensors."""
    height, width = scenes.SIZE
    shape = (len(counts), int(counts.max()))
    mask = np.arange(shape[1]) < counts[:, None]
    all_boxes = np.zeros((*shape, 4), np.float32)
    all_classes = np.full(shape, -1)
    x, y, w, h = boxes.T
    all_boxes[mask] = np.stack([y / height, x / width, (y + h) / height, (x + w) / width], 1)
    all_classes[mask] = classes
    return Truth(torch.from_numpy(all_boxes), torch.from_numpy(all_classes))


# One batch.


def batch(
    pixels: np.ndarray, truth: Truth, chosen: Tensor, size: tuple[int, int], rng: torch.Generator
) -> tuple[Tensor, Tensor, Tensor]:
    """Images NCHW in -1..1, boxes and classes of the scenes `chosen`, each changed at random.

    A scene is mirrored both ways and transposed or not, its colour channels change places, and
    brightness and contrast vary; then it is resized as a detector resizes.
    """
    found, boxes = [], truth.boxes[chosen].clone()
    for number, scene in enumerate(chosen.tolist()):
        down, across, turned = torch.randint(2, (3,), generator=rng).tolist()
        image, box = pixels[scene], boxes[number]
        if down:
            image, box = image[::-1], box[:, [2, 1, 0, 3]] * DOWN + (1 - DOWN) / 2
        if across:
            image, box = image[:, ::-1], box[:, [0, 3, 2, 1]] * ACROSS + (1 - ACROSS) / 2
        if turned:
            image, box = image.transpose(1, 0, 2), box[:, [1, 0, 3, 2]]
        small = images.resize(np.ascontiguousarray(image), *size, "tensorflow")
        found.append(torch.from_numpy(small)[:, :, torch.randperm(3, generator=rng)])
        boxes[number] = box
    whole = torch.stack(found) * (2 / 255) - 1
    gain, shift = torch.rand(2, len(chosen), 1, 1, 1, generator=rng)
    whole = (whole * (0.75 + 0.5 * gain) + 0.4 * (shift - 0.5)).clamp(-1, 1)
    return whole.permute(0, 3, 1, 2), boxes, truth.classes[chosen]


def overlap(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Intersection over union of boxes (n, m, 4) with anchors (k, 4), all as corners: (n, m, k)."""
    low = torch.maximum(boxes[:, :, None, :2], anchors[:, :2])
    high = torch.minimum(boxes[:, :, None, 2:], anchors[:, 2:])
    common = (high - low).clamp(min=0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2]).prod(-1)
    return common / (area[..., None] + (anchors[:, 2:] - anchors[:, :2]).prod(-1) - common)


def match(anchors: Tensor, boxes: Tensor, classes: Tensor) -> Tensor:
    """The number of the box that each anchor is to find, or -1: (n, k).

    An anchor takes the box that it overlaps most, by a half at least; and each box has the anchor
    that overlaps it most, whatever the overlap (the API's argmax matcher with forced rows).
    """
    centre, half = anchors[:, :2], anchors[:, 2:] / 2
    overlaps = overlap(boxes, torch.cat([centre - half, centre + half], 1))
    overlaps = torch.where(classes[..., None] >= 0, overlaps, -1.0)
    best, matched = overlaps.max(1)
    matched[best < 0.5] = -1
    favourite = overlaps.argmax(2)
    for number in range(boxes.shape[1]):
        there = torch.nonzero(classes[:, number] >= 0)[:, 0]
        matched[there, favourite[there, number]] = number
    return matched


def encode(anchors: Tensor, boxes: Tensor, scales: tuple[float, ...]) -> Tensor:
    """Box codes (n, k, 4) of boxes (n, k, 4) as corners, against anchors (k, 4)."""
    size = (boxes[..., 2:] - boxes[..., :2]).clamp(min=1e-6)
    centre = boxes[..., :2] + size / 2
    codes = torch.cat(
        [(centre - anchors[:, :2]) / anchors[:, 2:], (size / anchors[:, 2:]).log()], -1
    )
    return codes * torch.tensor(scales)


def losses(
    codes: Tensor,
    logits: Tensor,
    anchors: Tensor,
    boxes: Tensor,
    classes: Tensor,
    scales: tuple[float, ...],
) -> tuple[Tensor, Tensor]:
    """The loss of the boxes and that of the classes, per matched anchor."""
    matched = match(anchors, boxes, classes)
    found = matched >= 0
    index = matched.clamp(min=0)
    target = torch.gather(boxes, 1, index[..., None].expand(-1, -1, 4))
    wanted = encode(anchors, target, scales)[found]
    count = found.sum().clamp(min=1)
    place = functional.smooth_l1_loss(codes[found], wanted, reduction="sum", beta=DELTA) / count

    # Slot 0 is the background, which sigmoids have no use for.
    kinds = torch.where(found, torch.gather(classes, 1, index) + 1, 0)
    truth = functional.one_hot(kinds, logits.shape[-1]).float()
    truth[..., 0] = 0
    logits, truth = logits[..., 1:], truth[..., 1:]
    cross = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    right = torch.exp(-cross)
    weight = (ALPHA * truth + (1 - ALPHA) * (1 - truth)) * (1 - right) ** GAMMA
    return place, (weight * cross).sum() / count


# The loop.


def train(
    network: Network,
    config: DetectionConfig,
    pixels: np.ndarray,
    truth: Truth,
    arguments: argparse.Namespace,
) -> dict[str, Tensor]:
    """The moving average of the trained network's state; a copy is kept in the work folder."""
    rng = torch.Generator().manual_seed(arguments.seed)
    decayed = [value for value in network.parameters() if value.ndim == 4]
    plain = [value for value in network.parameters() if value.ndim != 4]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=arguments.rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda s: pace(s, arguments.steps))
    average = {key: value.clone() for key, value in network.state_dict().items()}
    size = config.input_shape[1:3]
    begin, sums = time.time(), np.zeros(2)
    stream = batches(pixels, truth, size, rng, arguments.batch)
    for step, (inputs, boxes, classes) in enumerate(ahead(stream, arguments.stop), start=1):
        codes, logits = network(inputs)
        place, kind = losses(
            codes, logits, network.anchors, boxes, classes, config.box_coder_scales
        )
        optimiser.zero_grad()
        (BOXES * place + kind).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        optimiser.step()
        schedule.step()
        keep = min(AVERAGE, step / (step + 10))
        with torch.no_grad():
            for key, value in network.state_dict().items():
                average[key].lerp_(value, 1 - keep)
        sums += place.item(), kind.item()
        if step % 100 == 0 or step == 1:
            done = 100 if step > 1 else 1
            seconds = time.time() - begin
            LOG.info(
                "%6d boxes %.4f classes %.4f %7.0f s %.1f scenes/s",
                *(step, *sums / done, seconds, step * arguments.batch / seconds),
            )
            sums[:] = 0
        if step % 500 == 0:
            torch.save(average, arguments.work / "average.pt")
    return average


def batches(
    pixels: np.ndarray, truth: Truth, size: tuple[int, int], rng: torch.Generator, count: int
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Batches of `count` scenes without end, every scene once before any comes again."""
    order = torch.zeros(0, dtype=torch.int64)
    while True:
        if len(order) < count:
            order = torch.cat([order, torch.randperm(len(truth.boxes), generator=rng)])
        yield batch(pixels, truth, order[:count], size, rng)
        order = order[count:]


def ahead(stream: Iterator[T], count: int) -> Iterator[T]:
    """The first `count` items of `stream`, each made by another thread while the last is used."""
    with ThreadPoolExecutor(1) as maker:
        coming = [maker.submit(next, stream) for _ in range(min(3, count))]
        for number in range(count):
            item = coming.pop(0).result()
            if number + 3 < count:
                coming.append(maker.submit(next, stream))
            yield item


def pace(step: int, steps: int) -> float:
    """The learning rate at a step, as a part of the highest: up in a line, down in a cosine."""
    rise = min(300, steps // 10)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))) + 1e-3


def write(network: Network, folder: Path, steps: int) -> None:
    """Write the checkpoint, its configuration and the names of its classes."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {**network.variables(), "global_step": np.array(steps, np.int64)}
    write_checkpoint(folder / "model.ckpt", tensors)
    (folder / "pipeline.config").write_bytes((HERE / "pipeline.config").read_bytes())
    (folder / "label_map.pbtxt").write_text(scenes.label_map())
    (folder / "labels.txt").write_text("".join(f"{name}\n" for name in scenes.CLASSES))
    LOG.info("%s: %d bytes", folder, sum(place.stat().st_size for place in folder.iterdir()))


if __name__ == "__main__":
    main()
