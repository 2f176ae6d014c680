"""The object graph of TensorFlow 2's checkpoints: real ones, and damage."""

import contextlib
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatshot.errors import FormatError
from flatshot.formats.checkpoint import Checkpoint, write_checkpoint
from flatshot.formats.object_graph import (
    KEY,
    SUFFIX,
    is_object_based,
    load_object_graph,
    read_object_graph,
)


def field(number: int, value: bytes | str | int) -> bytes:
    """A field of a message; numbers and lengths here are below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    data = value.encode() if isinstance(value, str) else value
    return bytes([number << 3 | 2, len(data)]) + data


def variable(full_name: str, key: str) -> bytes:
    """An object that is a variable."""
    return field(2, field(1, "VARIABLE_VALUE") + field(2, full_name) + field(3, key))


def graph(*objects: bytes) -> bytes:
    """A graph of these objects."""
    return b"".join(field(1, each) for each in objects)


def slot(original: int, name: str, number: int) -> bytes:
    """What an optimizer says of one slot."""
    return field(3, field(1, original) + field(2, name) + field(3, number))


@pytest.mark.parametrize(
    ("family", "slots"),
    [
        ("tiny_fpnlite", set()),
        ("tiny_fpnlite_train_momentum", {"momentum"}),
        ("tiny_fpnlite_train_ema", {"momentum", "average"}),
        ("ssd_efficientdet_d0_512x512_fixed", set()),
    ],
)
def test_real_graphs_name_every_variable(data: Path, family: str, slots: set[str]) -> None:
    """Once each; the keys are those of the index, and slots belong to trainable variables."""
    folder = data / "families2" / family
    found = read_object_graph(gzip.decompress((folder / "object_graph.pb.gz").read_bytes()))
    keys = json.loads((folder / "keys.json").read_text())
    plain = {key for key in keys if "/.OPTIMIZER_SLOT/" not in key} - {KEY}
    assert set(found.keys.values()) == plain
    assert set(found.slots) == slots
    for by_variable in found.slots.values():
        assert set(by_variable) < plain
        assert set(by_variable.values()) < set(keys) - plain
        assert {key.split("/")[-3] for key in by_variable}.isdisjoint({"moving_mean"})


def test_full_names_are_those_of_keras(data: Path) -> None:
    """The trap: the path of a variable counts layers, its full name says which one it is."""
    folder = data / "families2" / "tiny_fpnlite"
    found = read_object_graph(gzip.decompress((folder / "object_graph.pb.gz").read_bytes()))
    path = "model/_feature_extractor/classification_backbone/layer_with_weights-0/kernel"
    assert found.keys["Conv1/kernel"] == path + SUFFIX
    assert found.roots == ("model", "save_counter")


def test_slots_are_told_from_variables() -> None:
    """By what the optimizer says, not by how a key is spelt."""
    found = read_object_graph(
        graph(
            field(1, field(1, 1) + field(2, "model")) + slot(1, "momentum", 2),
            variable("v", "model/v"),
            variable("SGD/v/momentum", "model/v/slot"),
        )
    )
    assert found.keys == {"v": "model/v"}
    assert found.slots == {"momentum": {"model/v": "model/v/slot"}}


def test_a_full_name_of_two_variables_says_nothing() -> None:
    """Nor does an empty one; one variable reached twice is no second one."""
    found = read_object_graph(
        graph(variable("v", "a"), variable("v", "b"), variable("w", "c"), variable("", "d"))
    )
    assert found.keys == {"w": "c"}


@pytest.mark.parametrize("number", [3, 127])
def test_a_slot_of_no_object_is_refused(number: int) -> None:
    """A number beyond the objects, for slot and variable."""
    for data in (slot(number, "m", 0), slot(0, "m", number)):
        with pytest.raises(FormatError, match=f"has 1 objects and names {number}"):
            read_object_graph(graph(data))
    with pytest.raises(FormatError, match="names -1"):
        read_object_graph(graph(field(3, b"\x08" + b"\xff" * 9 + b"\x01")))


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """With a FormatError."""
    with contextlib.suppress(FormatError):
        read_object_graph(data)


def test_a_checkpoint_of_tensorflow_1_has_none(tmp_path: Path) -> None:
    """And is told apart by its names."""
    write_checkpoint(tmp_path / "model.ckpt", {"a/weights": np.zeros(3, np.float32)})
    checkpoint = Checkpoint(tmp_path)
    assert load_object_graph(checkpoint) is None
    assert not is_object_based(checkpoint)
    assert is_object_based({"model/a/kernel" + SUFFIX: None})


def test_a_graph_that_is_no_string_is_refused(tmp_path: Path) -> None:
    """The name alone does not make it one."""
    write_checkpoint(tmp_path / "model.ckpt", {KEY: np.zeros(3, np.float32)})
    with pytest.raises(FormatError, match="no single string"):
        load_object_graph(Checkpoint(tmp_path))


def test_the_graph_is_read_out_of_a_checkpoint(data: Path) -> None:
    """Of TensorFlow's own hand, with its tensors out of the order of their names."""
    checkpoint = Checkpoint(data / "cases" / "21-checkpoint-of-tensorflow-2" / "ckpt-1")
    found = load_object_graph(checkpoint)
    assert found is not None
    assert set(found.keys.values()) == set(checkpoint) - {KEY}
    for name in checkpoint:
        checkpoint.read(name)
