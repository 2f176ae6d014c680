"""Edits of a model's bytes: what they change, and that they change nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import FlatshotError, FormatError
from flatshot.formats import tflite
from flatshot.formats.custom_options import read_options, write_options
from flatshot.formats.tflite_patch import cut_before, replace_custom_options, replace_outputs
from tests.runtime.tiny import OPTIONS, Builder, Tiny, ints, run, with_labels

IMAGE = np.random.default_rng(1).uniform(-1, 1, (1, 8, 6, 3)).astype(np.float32)
LAST = 2  # of the operators of `Tiny`: reshape, sigmoid, post-processing


def last_operator(data: bytes) -> tflite.Operator:
    """The last operator of the model."""
    return tflite.read_model(data).subgraphs[0].operators[-1]


@pytest.mark.parametrize("tail", [b"", b"x", b"PK and more"])
def test_options_are_replaced_and_every_other_byte_stays(tail: bytes) -> None:
    """Also with something behind the FlatBuffer, of whatever length."""
    model = Tiny().bytes() + tail
    options = OPTIONS | {"max_detections": 3, "use_regular_nms": False, "one_more": 1.5}
    patched = replace_custom_options(model, LAST, write_options(options))
    got = last_operator(patched).custom_options
    assert got is not None
    assert read_options(got) == options
    changed = [i for i in range(len(model)) if patched[i] != model[i]]
    assert len(changed) <= 4  # one offset
    # FlexBuffers read numbers of four bytes in place.
    assert (
        got.__array_interface__["data"][0] - np.frombuffer(patched, np.uint8).ctypes.data
    ) % 4 == 0
    boxes, *_ = run(patched, IMAGE)
    assert boxes.shape == (1, 3, 4)


@pytest.mark.parametrize("signature", [False, True])
def test_the_cut_ends_in_what_the_operator_read(signature: bool) -> None:
    """LiteRT runs the result, and it computes the raw outputs."""
    whole = Tiny(signature=signature).bytes()
    boxes, scores = run(cut_before(whole, LAST), IMAGE)
    np.testing.assert_array_equal(boxes, IMAGE.reshape(1, 36, 4))
    # LiteRT's sigmoid is an approximation good to a few float32 steps.
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-boxes)), atol=1e-6)


def test_an_operator_in_the_middle_is_removed_without_harm_to_the_others() -> None:
    """All offsets behind the gap are mended."""
    build = Builder()
    size = build.tensor("size", (2,), np.int32, ints(3, 2))
    tensors = [build.tensor(name, shape) for name, shape in zip("abcd", [(2, 3)] * 4, strict=True)]
    spare = build.tensor("spare", (3, 2))
    build.operator(tflite.Builtin.LOGISTIC, tensors[:1], tensors[1:2])
    build.operator(tflite.Builtin.RESHAPE, [tensors[0], size], [spare])
    build.operator(tflite.Builtin.RELU, tensors[1:2], tensors[2:3])
    build.operator(tflite.Builtin.ADD, tensors[1:3], tensors[3:4])
    model = build.build(tensors[:1], tensors[3:4])
    patched = tflite.read_model(replace_outputs(cut_before(model, 1), [tensors[3]]))
    names = [
        patched.operator_codes[operator.opcode_index].name
        for operator in patched.subgraphs[0].operators
    ]
    assert names == ["LOGISTIC", "RELU", "ADD"]
    value = np.array([[-1, 0, 1], [2, 3, 4]], np.float32)
    (got,) = run(replace_outputs(cut_before(model, 1), [tensors[3]]), value)
    # Sigmoid plus itself, for it is positive; the approximation is good to a few float32 steps.
    np.testing.assert_allclose(got, 2 / (1 + np.exp(-value)), atol=1e-6)


def test_other_outputs() -> None:
    """In the order given, signatures gone."""
    model = Tiny(signature=True).bytes()
    raw, image = run(replace_outputs(model, [2, 0]), IMAGE)
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(raw, IMAGE.reshape(1, 36, 4))
    assert tflite.read_model(replace_outputs(model, [2, 0])).signature_defs == []


def test_packed_labels_do_not_hinder() -> None:
    """The zip file behind the model is no longer at its end; the model runs."""
    model = with_labels(Tiny().bytes(), "cat\ndog")
    assert len(run(cut_before(model, LAST), IMAGE)) == 2


def test_what_cannot_be_patched() -> None:
    """Each with its own message."""
    model = Tiny().bytes()
    with pytest.raises(FormatError, match="there is no operator 3"):
        cut_before(model, 3)
    with pytest.raises(FormatError, match="there is no operator -1"):
        replace_custom_options(model, -1, b"")
    with pytest.raises(FormatError, match="operator 0 has no custom options"):
        replace_custom_options(model, 0, b"")
    with pytest.raises(FormatError, match="operator 1 has fewer than two inputs"):
        cut_before(model, 1)
    with pytest.raises(FormatError, match=r"no tensors \[0, 99\]"):
        replace_outputs(model, [0, 99])
    with pytest.raises(FormatError, match="not a TensorFlow Lite model"):
        cut_before(b"not a model at all", 0)
    with pytest.raises(FormatError, match="no sub-graph"):
        cut_before(bytes(tflite.write_model(tflite.TFLiteModel(version=3))), 0)


@given(st.data())
def test_damaged_models_give_a_result_or_an_error_of_ours(draw: st.DataObject) -> None:
    """Any byte flipped, any length: never another exception."""
    model = bytearray(Tiny(signature=True).bytes())
    at = draw.draw(st.integers(0, len(model) - 1))
    model[at] ^= draw.draw(st.integers(1, 255))
    cut = bytes(model[: draw.draw(st.sampled_from([len(model), at]))])
    try:
        assert len(replace_custom_options(cut, LAST, b"abcd")) > len(cut)
        assert len(replace_outputs(cut, [1])) > len(cut)
        assert len(cut_before(cut, LAST)) > len(cut)
    except FlatshotError:
        return
