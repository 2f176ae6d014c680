"""The post-processing in NumPy against the operator itself, alone in a tiny model."""

import logging
from typing import Any
from unittest import mock

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatshot.errors import ConfigError
from flatshot.formats.postprocess import PostProcessSettings
from flatshot.runtime import nms
from tests.runtime.tiny import OPTIONS, operator_model, run

Array = npt.NDArray[Any]
BASE = PostProcessSettings.from_options(OPTIONS)

# Multiples of these make equal scores, scores at the threshold and equal boxes likely.
SCORES = st.sampled_from([0.0, 1e-8, 0.125, 0.25, 0.3, 0.5, 0.75, 1.0])
CODES = st.sampled_from([-30.0, -10.0, -2.5, 0.0, 1.0, 2.5, 10.0])
CENTRES = st.sampled_from([0.0, 0.25, 0.5, 0.55])
SIZES = st.sampled_from([0.0, 0.1, 0.25, 0.5])


@st.composite
def problems(draw: st.DrawFn) -> tuple[Array, Array, Array, PostProcessSettings]:
    """Raw outputs, anchors and settings, rich in ties and in boxes that are equal or empty."""
    n = draw(st.integers(1, 40))
    classes = draw(st.integers(1, 5))
    columns = classes + draw(st.integers(0, 1))
    width = draw(st.sampled_from([4, 4, 6]))
    seed = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def numbers(shape: tuple[int, int], few: st.SearchStrategy[float], scale: float) -> Array:
        if draw(st.booleans()):
            pool = draw(st.lists(few, min_size=1, max_size=6))
            return seed.choice(np.array(pool, np.float32), shape)
        return (seed.random(shape) * scale).astype(np.float32)

    encodings = numbers((n, width), CODES, 20.0)
    scores = numbers((n, columns), SCORES, 1.0)
    anchors = np.concatenate([numbers((n, 2), CENTRES, 1.0), numbers((n, 2), SIZES, 0.5)], axis=1)
    chosen = BASE.override(
        num_classes=classes,
        use_regular_nms=draw(st.booleans()),
        max_detections=draw(st.sampled_from([1, 2, 3, 7, 20, 200])),
        detections_per_class=draw(st.sampled_from([1, 2, 5, 100])),
        max_classes_per_detection=draw(st.integers(1, 6)),
        nms_score_threshold=draw(st.sampled_from([0.0, 1e-8, 0.125, 0.3, 0.75, 1.0])),
        nms_iou_threshold=draw(st.sampled_from([1e-6, 0.25, 1 / 3, 0.5, 0.6, 1.0])),
        y_scale=draw(st.sampled_from([1.0, 10.0])),
        w_scale=draw(st.sampled_from([0.3, 5.0])),
    )
    return encodings, scores, anchors, chosen


def operator(
    encodings: Array, scores: Array, anchors: Array, chosen: PostProcessSettings
) -> tuple[Array, Array, Array]:
    """Boxes, classes and scores that the operator writes, in its order, up to its count."""
    model = operator_model(encodings.shape, scores.shape[1], chosen.to_options())
    boxes, classes, found, count = run(model, encodings[None], scores[None], anchors)
    slots = np.arange(int(count[0]))
    if not chosen.use_regular_nms:
        room = chosen.max_classes_per_detection
        slots = (slots[:, None] * room + np.arange(min(room, chosen.num_classes))).ravel()
    return boxes[0][slots], classes[0][slots].astype(np.int64), found[0][slots]


def assert_same(got: nms.Selected, want: tuple[Array, Array, Array], exact: bool) -> None:
    """Scores and, if `exact`, classes to the bit; boxes to the last."""
    boxes, classes, scores = want
    np.testing.assert_array_equal(got.scores, scores)
    if exact:
        np.testing.assert_array_equal(got.classes, classes)
    # Both decode in double precision and round once; NumPy's and the C library's exponential may
    # differ in the last bit of a double, which moves a float32 about once in 2**28 numbers, and
    # then by one step: 6e-8 of the larger of box and 1.
    np.testing.assert_allclose(got.boxes, boxes, rtol=1.2e-7, atol=1.2e-7)


@settings(max_examples=400)
@given(problems(), st.sampled_from([0, 20, 2048]))
def test_equals_the_operator(
    problem: tuple[Array, Array, Array, PostProcessSettings], few: int
) -> None:
    """Entry by entry, on whatever hypothesis thinks of, by the road for few pairs and for many."""
    encodings, scores, anchors, chosen = problem
    with mock.patch.object(nms, "_FEW", few):
        got = nms.postprocess(encodings, scores, anchors, chosen)
    want = operator(*problem)
    # The operator orders the classes of one box with std::partial_sort, which leaves the order of
    # equal scores open; there only the scores are compared, and the classes against the scores.
    several = not chosen.use_regular_nms and min(
        chosen.max_classes_per_detection, chosen.num_classes
    )
    assert_same(got, want, exact=several in (False, 1))
    if several > 1:
        rows = scores[:, scores.shape[1] - chosen.num_classes :]
        for index in range(0, len(got.scores), several):
            part = slice(index, index + several)
            assert len(set(got.classes[part].tolist())) == several
            assert any(
                np.array_equal(row[got.classes[part]], got.scores[part])
                and np.array_equal(row[want[1][part]], got.scores[part])
                for row in rows
            )


@pytest.mark.parametrize("regular", [True, False])
@pytest.mark.parametrize("threshold", [0.0, 1e-8, 0.3, 0.99])
def test_equals_the_operator_on_a_problem_of_real_size(
    rng: np.random.Generator, regular: bool, threshold: float
) -> None:
    """As many anchors and classes as SSD MobileNet V1 has on COCO."""
    n, columns = 1917, 91
    encodings = rng.normal(0, 2, (n, 4)).astype(np.float32)
    # Cubed, few scores are high, as in a real image.
    scores = (rng.random((n, columns)) ** 3).astype(np.float32)
    anchors = rng.uniform(0.05, 0.9, (n, 4)).astype(np.float32)
    chosen = BASE.override(
        num_classes=90,
        max_detections=100,
        use_regular_nms=regular,
        nms_score_threshold=threshold,
        nms_iou_threshold=0.6,
    )
    got = nms.postprocess(encodings, scores, anchors, chosen)
    assert len(got.scores) == 100
    assert_same(got, operator(encodings, scores, anchors, chosen), exact=True)


def test_quantised_scores_with_thousands_of_ties(rng: np.random.Generator) -> None:
    """All portions and blocks are walked, and equal scores stay in the operator's order."""
    n, columns = 700, 21
    encodings = rng.integers(-8, 9, (n, 4)).astype(np.float32)
    scores = (rng.integers(0, 4, (n, columns)) / 256).astype(np.float32)
    anchors = rng.uniform(0.05, 0.9, (n, 4)).astype(np.float32)
    for cap, overlap in ((1, 0.3), (3, 0.3), (100, 0.3), (100, 1.0)):
        chosen = BASE.override(
            num_classes=20,
            max_detections=400,
            detections_per_class=cap,
            nms_score_threshold=1 / 256,
            nms_iou_threshold=overlap,
        )
        got = nms.postprocess(encodings, scores, anchors, chosen)
        assert_same(got, operator(encodings, scores, anchors, chosen), exact=True)


def test_no_candidate_comes_twice() -> None:
    """Not even where portions meet at equal scores and a box overlaps nothing, not even itself."""
    anchors = np.full((300, 4), 0.5, np.float32)
    anchors[0, 2] = 0
    scores = np.full((300, 4), 0.5, np.float32)
    chosen = BASE.override(max_detections=200)
    got = nms.postprocess(np.zeros((300, 4), np.float32), scores, anchors, chosen)
    assert got.classes.tolist() == [0, 0, 1, 1, 2, 2]
    want = operator(np.zeros((300, 4), np.float32), scores, anchors, chosen)
    assert_same(got, want, exact=True)


@pytest.mark.parametrize("threshold", [0.5, 0.49999997])
def test_an_overlap_at_the_threshold_stays(threshold: float) -> None:
    """Two boxes of which one is half the other; all numbers are exact in binary."""
    anchors = np.array([[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.25, 0.5]], np.float32)
    scores = np.array([[0, 0.75, 0, 0], [0, 0.5, 0, 0]], np.float32)
    chosen = BASE.override(nms_iou_threshold=threshold)
    got = nms.postprocess(np.zeros((2, 4), np.float32), scores, anchors, chosen)
    assert len(got.scores) == (2 if threshold == 0.5 else 1)
    want = operator(np.zeros((2, 4), np.float32), scores, anchors, chosen)
    assert_same(got, want, exact=True)


def test_a_box_that_ends_before_it_begins_is_left_out(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is counted and reported, where the operator fails."""
    monkeypatch.setattr(logging.getLogger("flatshot"), "propagate", True)
    anchors = np.array([[0.5, 0.5, 0.2, 0.2], [0.5, 0.5, -0.2, 0.2]], np.float32)
    scores = np.array([[0, 0.5, 0, 0], [0, 0.9, 0, 0]], np.float32)
    encodings = np.zeros((2, 4), np.float32)
    with pytest.raises(RuntimeError):  # the operator gives up on the whole image
        operator(encodings, scores, anchors, BASE)
    for regular in (True, False):
        got = nms.postprocess(encodings, scores, anchors, BASE.override(use_regular_nms=regular))
        assert got.dropped == 1
        assert got.scores.tolist() == [0.5]
        assert "1 boxes that end before they begin" in caplog.text


def test_what_is_no_number_is_never_found() -> None:
    """A NaN among scores or encodings harms no other anchor."""
    anchors = np.full((3, 4), 0.5, np.float32)
    scores = np.full((3, 4), np.nan, np.float32)
    scores[1, 2] = 0.75
    encodings = np.zeros((3, 4), np.float32)
    encodings[0] = np.nan
    for regular in (True, False):
        got = nms.postprocess(encodings, scores, anchors, BASE.override(use_regular_nms=regular))
        assert got.scores.tolist() == [0.75]
        assert got.classes.tolist() == [1]


def test_boxes_beyond_float32_suppress_nothing_and_break_nothing() -> None:
    """As in the operator, where infinity over infinity is no overlap."""
    anchors = np.full((2, 4), 0.5, np.float32)
    encodings = np.full((2, 4), 3e3, np.float32)
    scores = np.array([[0, 0.5, 0, 0], [0, 0.25, 0, 0]], np.float32)
    got = nms.postprocess(encodings, scores, anchors, BASE)
    assert_same(got, operator(encodings, scores, anchors, BASE), exact=True)
    assert np.isinf(got.boxes).all()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((5, 3), (5, 4), (5, 4)), "raw outputs must be"),
        (((5, 4), (5, 4), (6, 4)), "one row for each anchor"),
        (((5, 4), (4, 4), (5, 4)), "one row for each anchor"),
        (((5, 4), (5, 5), (5, 4)), "num_classes is 3, and the model has 5 columns"),
        (((5, 4), (5, 2), (5, 4)), "num_classes is 3, and the model has 2 columns"),
    ],
)
def test_shapes_that_do_not_fit(shapes: tuple[tuple[int, int], ...], message: str) -> None:
    """A clear error instead of NumPy's."""
    encodings, scores, anchors = (np.zeros(shape, np.float32) for shape in shapes)
    with pytest.raises(ConfigError, match=message):
        nms.postprocess(encodings, scores, anchors, BASE)


def test_decode_by_hand() -> None:
    """Columns past the fourth do not count."""
    # Centre .5 + 5/10*.2 = .6 and .5 - 10/10*.4 = .1; half sizes .1 and .2*e.
    got = nms.decode(
        np.array([[5, -10, 0, 5, 99]], np.float32),
        np.array([[0.5, 0.5, 0.2, 0.4]], np.float32),
        BASE,
    )
    want = [[0.5, 0.1 - 0.2 * np.e, 0.7, 0.1 + 0.2 * np.e]]
    np.testing.assert_allclose(got, want, atol=1e-7)  # a float32 step below 1


def test_what_the_operator_loses_on_several_threads() -> None:
    """LiteRT 2.3 never looks at class t on t threads; a release that does passes as well."""
    encodings = np.zeros((4, 4), np.float32)
    places = np.array([[0.2, 0.2], [0.2, 0.8], [0.8, 0.2], [0.8, 0.8]], np.float32)
    anchors = np.concatenate([places, np.full((4, 2), 0.1, np.float32)], axis=1)
    scores = np.diag([0.9, 0.8, 0.7, 0.6]).astype(np.float32)
    chosen = BASE.override(num_classes=4, nms_score_threshold=0.5)
    found = nms.postprocess(encodings, scores, anchors, chosen)
    assert found.classes.tolist() == [0, 1, 2, 3]
    model = operator_model(encodings.shape, 4, chosen.to_options())
    for threads in (1, 2, 3):
        _, classes, _, count = run(model, encodings[None], scores[None], anchors, threads=threads)
        lost = {0, 1, 2, 3} - set(classes[0][: int(count[0])].astype(int).tolist())
        assert lost <= ({threads} if threads > 1 else set())


def test_boxes_are_decoded_alike_together_and_alone(rng: np.random.Generator) -> None:
    """To the bit: which other boxes are decoded with it does not touch a box."""
    encodings = rng.normal(0, 3, (1917, 4)).astype(np.float32)
    anchors = rng.uniform(0.05, 0.9, (1917, 4)).astype(np.float32)
    together = nms.decode(encodings, anchors, BASE)
    for size in (1, 2, 3, 7, 95):
        rows = rng.integers(0, 1917, size)
        np.testing.assert_array_equal(
            nms.decode(encodings[rows], anchors[rows], BASE), together[rows]
        )
