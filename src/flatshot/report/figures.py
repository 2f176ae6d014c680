"""The twelve COCO figures with how sure they are, of one run or of the difference of two."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flatshot.report.study import Study

# hotcoco's names of the figures, in COCO's order, and what a page calls them.
FIGURES: Mapping[str, tuple[str, str]] = {
    "AP": ("mAP", "overlap 0.50 to 0.95"),
    "AP50": ("AP, overlap 0.50", "loose boxes count"),
    "AP75": ("AP, overlap 0.75", "tight boxes only"),
    "APs": ("AP, small", "under 32 × 32 px"),
    "APm": ("AP, medium", "32 × 32 to 96 × 96 px"),
    "APl": ("AP, large", "over 96 × 96 px"),
    "AR1": ("Recall, 1 box", "the best box of a photo"),
    "AR10": ("Recall, 10 boxes", ""),
    "AR100": ("Recall, 100 boxes", ""),
    "ARs": ("Recall, small", ""),
    "ARm": ("Recall, medium", ""),
    "ARl": ("Recall, large", ""),
}

# Three hundred samples of as many images take some seconds; of thousands of images fewer must do.
SAMPLES, FEWEST = 300, 60
IMAGES_OF_ALL_SAMPLES = 93_000
CONFIDENCE = 0.95
SEED = 20190425


@dataclass(frozen=True)
class Interval:
    """A figure, or a difference of figures, between the bounds of its bootstrap interval."""

    value: float
    lower: float
    upper: float

    @property
    def shown(self) -> bool:
        """Of a difference: whether the interval leaves out 0."""
        return self.lower > 0 or self.upper < 0


@dataclass(frozen=True)
class Figures:
    """The twelve figures by hotcoco's names; -1 where there was nothing to find."""

    intervals: Mapping[str, Interval]
    samples: int

    def __getitem__(self, name: str) -> Interval:
        return self.intervals[name]


def sample_count(images: int) -> int:
    """How many bootstrap samples of `images` images are taken."""
    return max(FEWEST, min(SAMPLES, IMAGES_OF_ALL_SAMPLES // max(1, images)))


def figures(study: Study) -> Figures:
    """The figures of one run with their percentile intervals of 95 %.

    hotcoco resamples differences of two runs; the first one here finds nothing, so that its
    figures are 0 wherever the other's are not -1.
    """
    blank = Study(study.name, study.content, study.detections[:0], study.dataset)
    samples = sample_count(len(study.images))
    told = _compare(blank, study, samples)
    values: Mapping[str, float] = told["metrics_b"]
    return Figures({name: _interval(told, name, values[name]) for name in FIGURES}, samples=samples)


def differences(base: Study, other: Study) -> Figures:
    """`other` minus `base`, with intervals over the same samples of the images for both."""
    samples = sample_count(len(base.images))
    told = _compare(base, other, samples)
    return Figures(
        {name: _interval(told, name, told["deltas"][name]) for name in FIGURES}, samples=samples
    )


def values(study: Study) -> Mapping[str, float]:
    """The twelve figures alone, as the run's record has them."""
    metrics = list(study.content["metrics"].values())
    return dict(zip(FIGURES, metrics, strict=True))


def _compare(base: Study, other: Study, samples: int) -> Mapping[str, Any]:
    import hotcoco

    told: Mapping[str, Any] = hotcoco.compare(
        base.evaluator,
        other.evaluator,
        n_bootstrap=samples,
        seed=SEED,
        confidence=CONFIDENCE,
    )
    return told


def _interval(told: Mapping[str, Any], name: str, value: float) -> Interval:
    bounds = told["ci"].get(name) if value != -1 else None
    if bounds is None or not np.isfinite([bounds["lower"], bounds["upper"]]).all():
        return Interval(value, value, value)
    return Interval(value, bounds["lower"], bounds["upper"])
