"""Hold a trained detector against its network in PyTorch, and measure it on held-out scenes.

python recipes/demo/check.py src/flatshot/demo/detector
"""

import argparse
import logging
import tempfile
from pathlib import Path

import numpy as np
import torch
from network import Network

import flatshot
from flatshot.demo import scenes
from flatshot.formats.checkpoint import Checkpoint
from flatshot.formats.pipeline import load_pipeline
from flatshot.models.detection_config import read_config

LOG = logging.getLogger("check")
# Both are float32 sums of a few hundred products, layer upon layer, in another order.
TOLERANCE = 1e-4


def main() -> None:
    """Read the command line; compare, then measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector", type=Path, help="the folder that train.py wrote")
    parser.add_argument("--scenes", type=int, default=300)
    parser.add_argument("--thresholds", type=float, nargs="*", default=[0.01])
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    compare(arguments.detector)
    with tempfile.TemporaryDirectory() as folder:
        scenes.write_dataset(folder, arguments.scenes)
        measure(arguments.detector, flatshot.CocoDataset(folder), arguments.thresholds)


def compare(folder: Path) -> None:
    """Raise where LiteRT's raw outputs differ from PyTorch's on a scene."""
    network = Network(read_config(load_pipeline(folder / "pipeline.config")))
    network.restore(Checkpoint(folder))
    network.eval()
    cut = flatshot.Detector(flatshot.convert(flatshot.export(folder), cut=True))
    inputs = cut.prepare(scenes.draw_scene(0)[0])
    boxes, scores = cut.network(inputs)
    with torch.no_grad():
        codes, logits = network(torch.from_numpy(inputs).permute(0, 3, 1, 2))
    apart = [
        float(np.abs(boxes - codes.numpy()).max()),
        float(np.abs(scores - logits.sigmoid().numpy()).max()),
    ]
    LOG.info("PyTorch and LiteRT: box codes %.1e apart, scores %.1e", *apart)
    if max(apart) > TOLERANCE:
        raise SystemExit("the exported detector is another one")


def measure(folder: Path, dataset: flatshot.CocoDataset, thresholds: list[float]) -> None:
    """Say the figures under regular and fast suppression; the files' threshold comes first."""
    for threshold in (None, *thresholds):
        for regular in (True, False):
            graph = flatshot.export(folder, use_regular_nms=regular, max_detections=100)
            model = flatshot.convert(graph)
            detector = flatshot.Detector(model, score_threshold=threshold)
            result = flatshot.evaluate(detector, dataset, latency_images=0)
            LOG.info(
                "%s, score threshold %g, %d scenes: mAP %.4f, AP50 %.4f, AP75 %.4f, AR100 %.4f",
                "regular" if regular else "fast   ",
                detector.settings.nms_score_threshold,
                result.images,
                *(result.mAP, *result.figures.values()[1:3], result.recall),
            )
            if threshold is None and regular:
                for name, value in result.per_class.items():
                    LOG.info("    %-10s %.4f", name, value)


if __name__ == "__main__":
    main()
