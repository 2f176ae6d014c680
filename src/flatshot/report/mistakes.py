"""What goes wrong: kinds of error and what each costs, confusions, calibration."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flatshot.report.study import OVERLAP, Study

# TIDE's kinds in words; hotcoco's names of them.
KINDS: Mapping[str, tuple[str, str]] = {
    "Loc": ("Box does not fit", "right class, overlap 0.1 to 0.5"),
    "Miss": ("Object missed", "no box comes near it"),
    "Cls": ("Wrong class", "box fits, class does not"),
    "Bkg": ("Nothing there", "box on background"),
    "Both": ("Wrong class and loose box", "neither fits"),
    "Dupe": ("Found twice", "a better box has it already"),
}
# So many classes stand in the matrix by themselves.
LARGEST = 10
# So many confusions are listed.
LISTED = 12
BINS = 10


@dataclass(frozen=True)
class ErrorKind:
    """A kind of error: its name, what it means, what AP50 would gain without it, how often."""

    key: str
    name: str
    meaning: str
    cost: float
    times: int


@dataclass(frozen=True)
class Confusion:
    """So many objects of one class were called another."""

    truth: str
    said: str
    times: int


@dataclass(frozen=True, eq=False)
class Confusions:
    """What is taken for what, by boxes from a threshold up, whatever their class.

    Attributes:
        names: the classes with the most objects, at most `LARGEST`.
        matrix: (k, k + 2) objects by truth and by what was said: those classes, another class,
            missed.
        right: objects whose box has their class.
        mistaken: objects whose box has another class.
        missed: objects without a box.
        nothing: boxes without an object.
        commonest: confusions of two classes, by how often they occur.
    """

    names: list[str]
    matrix: npt.NDArray[np.int64]
    right: int
    mistaken: int
    missed: int
    nothing: int
    commonest: list[Confusion]


@dataclass(frozen=True)
class Bin:
    """The boxes whose score lies between two bounds: how sure, how often right, how many."""

    low: float
    high: float
    confidence: float
    right: float
    boxes: int


@dataclass(frozen=True)
class Calibration:
    """Whether a score can be read as a probability.

    Attributes:
        bins: those that hold boxes, by rising score.
        error: expected calibration error: the mean of |confidence - right|, weighted by boxes.
    """

    bins: list[Bin]
    error: float


def error_kinds(study: Study) -> list[ErrorKind]:
    """TIDE's kinds of error, the dearest first."""
    told: Mapping[str, Any] = study.evaluator.tide_errors()
    kinds = [
        ErrorKind(key, name, meaning, float(told["delta_ap"][key]), int(told["counts"][key]))
        for key, (name, meaning) in KINDS.items()
    ]
    return sorted(kinds, key=lambda kind: -kind.cost)


def confusions(study: Study, threshold: float) -> Confusions:
    """What boxes of at least `threshold` say of the objects that they overlap most."""
    told: Mapping[str, Any] = study.evaluator.confusion_matrix(OVERLAP, min_score=threshold)
    # Truth in rows, what was said in columns; background is the last of both.
    full = np.asarray(told["matrix"]).astype(np.int64)
    names = [study.categories[identity] for identity in told["cat_ids"]]
    objects = full[:-1].sum(axis=1)
    chosen = [int(place) for place in np.argsort(-objects, kind="stable") if objects[place]]
    chosen = chosen[:LARGEST]
    inner = full[:-1, :-1]
    matrix = np.zeros((len(chosen), len(chosen) + 2), np.int64)
    matrix[:, : len(chosen)] = inner[np.ix_(chosen, chosen)]
    matrix[:, -2] = inner[chosen].sum(axis=1) - matrix[:, : len(chosen)].sum(axis=1)
    matrix[:, -1] = full[chosen, -1]
    wrong = inner.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:LISTED]
    pairs = [np.unravel_index(place, wrong.shape) for place in order]
    return Confusions(
        names=[names[place] for place in chosen],
        matrix=matrix,
        right=int(np.trace(inner)),
        mistaken=int(wrong.sum()),
        missed=int(full[:-1, -1].sum()),
        nothing=int(full[-1, :-1].sum()),
        commonest=[
            Confusion(names[int(row)], names[int(column)], int(wrong[row, column]))
            for row, column in pairs
            if wrong[row, column]
        ],
    )


def calibration(study: Study) -> Calibration:
    """How often boxes of each score are right."""
    told: Mapping[str, Any] = study.evaluator.calibration(BINS, OVERLAP)
    bins = [
        Bin(
            float(row["bin_lower"]),
            float(row["bin_upper"]),
            float(row["avg_confidence"]),
            float(row["avg_accuracy"]),
            int(row["count"]),
        )
        for row in told["bins"]
        if row["count"]
    ]
    return Calibration(bins, float(told["ece"]))
