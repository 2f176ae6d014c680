"""From which score to draw boxes: precision, recall and F1 over the threshold."""

from dataclasses import dataclass

import numpy as np

from flatshot.evaluation.metrics import FloatArray
from flatshot.report.study import FALSE_ALARM, FOUND, Study

# A threshold that good counts as good as the best: people remember multiples of 0.05.
NEARLY = 0.99


@dataclass(frozen=True, eq=False)
class Thresholds:
    """What is drawn from each score up, all classes together.

    Attributes:
        scores: (99,) thresholds 0.01 to 0.99.
        precision: (99,) right boxes / boxes that count; 1 where no box is drawn.
        recall: (99,) objects found / objects.
        f1: (99,) their harmonic mean.
        boxes: (99,) boxes drawn an image, those on crowds included.
        best: the threshold of the greatest F1, the highest of several.
        band: the lowest and the highest threshold around it whose F1 is within 1 % of that.
        recommended: the multiple of 0.05 in the band, the nearest to `best`; else `best`.
    """

    scores: FloatArray
    precision: FloatArray
    recall: FloatArray
    f1: FloatArray
    boxes: FloatArray
    best: float
    band: tuple[float, float]
    recommended: float

    def at(self, score: float) -> int:
        """The place of the threshold nearest to `score`."""
        return int(np.abs(self.scores - score).argmin())


def thresholds(study: Study) -> Thresholds:
    """Precision, recall and F1 of `study` at each threshold."""
    scores = np.arange(1, 100) / 100
    matches = study.matches
    # Scores are float32 in the model: 0.3 of a box shall count from 0.30 up.
    drawn = np.round(study.detections[:, 5], 7)
    right = _from(drawn[matches.status == FOUND], scores)
    wrong = _from(drawn[matches.status == FALSE_ALARM], scores)
    boxes = _from(drawn, scores) / max(1, len(study.images))
    objects = max(1, int(matches.counts.sum()))
    precision = np.where(right + wrong > 0, right / np.maximum(right + wrong, 1), 1.0)
    recall = right / objects
    f1 = 2 * right / np.maximum(right + wrong + objects, 1)
    best = len(f1) - 1 - int(f1[::-1].argmax())
    near = f1 >= NEARLY * f1[best]
    low, high = best, best
    while low > 0 and near[low - 1]:
        low -= 1
    while high < len(scores) - 1 and near[high + 1]:
        high += 1
    fives = [place for place in range(low, high + 1) if (place + 1) % 5 == 0]
    chosen = min(fives, key=lambda place: abs(place - best), default=best)
    return Thresholds(
        scores,
        precision,
        recall,
        f1,
        boxes,
        float(scores[best]),
        (float(scores[low]), float(scores[high])),
        float(scores[chosen]),
    )


def _from(values: FloatArray, scores: FloatArray) -> FloatArray:
    """How many `values` are at least as high as each of `scores`."""
    ranked = np.sort(values)
    return (len(ranked) - np.searchsorted(ranked, scores, side="left")).astype(np.float64)
