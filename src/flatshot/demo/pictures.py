"""What the demo shows: scenes as two detectors see them, side by side."""

from collections.abc import Sequence

import numpy as np

from flatshot.demo.scenes import Pixels, draw_scene
from flatshot.runtime.detector import Detector
from flatshot.runtime.drawing import draw

# Scenes on which overlaps within and between classes tell the kinds of suppression apart.
SEEDS = (15, 3, 8)
# In pictures, what a detector is less sure of only hides what it found.
LOWEST_SCORE = 0.4
_GAP = 8
_ENLARGED = 2


def side_by_side(detectors: Sequence[Detector], seeds: Sequence[int] = SEEDS) -> Pixels:
    """A sheet with a row for each detector and a column for each scene, RGB uint8.

    Args:
        detectors: what to look through.
        seeds: of the scenes, as `draw_scene` takes them.
    """
    rows = []
    for detector in detectors:
        row = []
        for seed in seeds:
            pixels, _, _ = draw_scene(seed)
            found = detector(pixels)
            large = pixels.repeat(_ENLARGED, axis=0).repeat(_ENLARGED, axis=1)
            row.append(_framed(draw(large, found[found.scores >= LOWEST_SCORE])))
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows, axis=0)


def _framed(pixels: Pixels) -> Pixels:
    return np.pad(pixels, ((_GAP, _GAP), (_GAP, _GAP), (0, 0)), constant_values=255)
