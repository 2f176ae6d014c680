"""Many settings from few suppressions: what each finds is what it finds alone."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flatshot.evaluation.outcome import Outcome
from flatshot.experiments.sharing import narrow, share
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.runtime import nms

BASE = PostProcessSettings.usual(4)

settings = st.builds(
    lambda **changes: BASE.override(**changes),
    use_regular_nms=st.booleans(),
    # Some of the scores below lie on them exactly.
    score_threshold=st.sampled_from([0.0, 1e-8, 0.125, 0.3, 0.5, 1.0]),
    iou_threshold=st.sampled_from([0.3, 0.6]),
    max_detections=st.sampled_from([1, 2, 5, 40, 100]),
    detections_per_class=st.sampled_from([1, 3, 100]),
    max_classes_per_detection=st.sampled_from([1, 2]),
)


def outcome(raw: tuple[Any, Any, Any], chosen: PostProcessSettings) -> Outcome:
    """What the post-processing finds, sorted as the detector sorts it."""
    boxes, classes, scores, _ = nms.postprocess(*raw, chosen)
    if chosen.max_classes_per_detection > 1 and not chosen.use_regular_nms:
        order = np.argsort(-scores, kind="stable")
        boxes, classes, scores = boxes[order], classes[order], scores[order]
    return Outcome(1, 9, 9, boxes, scores, classes.astype(np.int32))


@given(
    wanted=st.lists(settings, min_size=1, max_size=8),
    seed=st.integers(0, 2**32 - 1),
    ties=st.booleans(),
)
def test_each_member_is_what_it_is_alone(
    wanted: list[PostProcessSettings], seed: int, ties: bool
) -> None:
    """Boxes, classes and scores to the bit; also with many equal scores."""
    rng = np.random.default_rng(seed)
    count = 60
    scores = rng.random((count, 5)).astype(np.float32)
    if ties:
        scores = np.round(scores * 8) / np.float32(8)
    anchors = rng.random((count, 4)).astype(np.float32)
    raw = (rng.normal(size=(count, 4)).astype(np.float32), scores, anchors)
    groups = share(wanted)
    members = [one for group in groups for one in group.members]
    assert sorted(map(hash, members)) == sorted(map(hash, set(wanted)))
    for group in groups:
        wide = outcome(raw, group.wide)
        for one in group.members:
            got, want = narrow(wide, one), outcome(raw, one)
            for name in ("boxes", "scores", "classes"):
                np.testing.assert_array_equal(getattr(got, name), getattr(want, name))


def test_what_shares_a_suppression() -> None:
    """Thresholds and numbers do; kinds and overlaps do not."""
    many = [
        BASE.override(nms=kind, score_threshold=threshold, max_detections=number)
        for kind in ("regular", "fast")
        for threshold in (0.3, 1e-8)
        for number in (10, 100)
    ]
    assert [len(group.members) for group in share(many)] == [4, 4]
    assert [(g.wide.nms_score_threshold, g.wide.max_detections) for g in share(many)] == [
        (1e-8, 100)
    ] * 2
    assert len(share([BASE, BASE.override(iou_threshold=0.5), BASE])) == 2


def test_a_failed_image_stays_failed() -> None:
    """There is nothing to narrow."""
    failed = Outcome(1, error="1.jpg: no image")
    assert narrow(failed, BASE) is failed
