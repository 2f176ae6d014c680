"""Many settings of the post-processing from few suppressions, with the same detections.

Both kinds of suppression take candidates by falling score and never look back: what is kept above
a score does not depend on what lies below, and the first of it not on how much may follow. So of
settings that differ in the score threshold and in the number of detections alone, one suppression
with the lowest threshold and the largest number gives them all, as the beginnings of its list.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flatshot.evaluation.outcome import Outcome
from flatshot.formats.postprocess import PostProcessSettings


@dataclass(frozen=True)
class Shared:
    """Settings that one suppression gives.

    Attributes:
        wide: the settings of that suppression.
        members: the settings that are beginnings of what it finds.
    """

    wide: PostProcessSettings
    members: tuple[PostProcessSettings, ...]


def share(settings: Iterable[PostProcessSettings]) -> list[Shared]:
    """`settings`, each once, in groups that share a suppression."""
    groups: dict[PostProcessSettings, list[PostProcessSettings]] = {}
    for one in dict.fromkeys(settings):
        groups.setdefault(_common(one), []).append(one)
    return [Shared(_wide(members), tuple(members)) for members in groups.values()]


def narrow(outcome: Outcome, settings: PostProcessSettings) -> Outcome:
    """What a member finds, of what its group's suppression found: the beginning of it.

    The seconds stay those of the shared suppression.
    """
    if outcome.error is not None or not _has_beginnings(settings):
        return outcome
    # As the suppression itself compares: in single precision, equal scores stay.
    reached = outcome.scores >= np.float32(settings.nms_score_threshold)
    count = min(int(np.count_nonzero(reached)), settings.max_detections)
    return replace(
        outcome,
        boxes=outcome.boxes[:count],
        scores=outcome.scores[:count],
        classes=outcome.classes[:count],
    )


def _has_beginnings(settings: PostProcessSettings) -> bool:
    # With several classes a box the fast kind counts boxes, and its list is sorted afterwards.
    return settings.use_regular_nms or settings.max_classes_per_detection == 1


def _common(settings: PostProcessSettings) -> PostProcessSettings:
    """The same for all settings that share a suppression."""
    if not _has_beginnings(settings):
        return settings
    return settings.override(nms_score_threshold=0, max_detections=1)


def _wide(members: Sequence[PostProcessSettings]) -> PostProcessSettings:
    return members[0].override(
        nms_score_threshold=min(one.nms_score_threshold for one in members),
        max_detections=max(one.max_detections for one in members),
    )
