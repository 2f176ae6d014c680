"""SavedModels and meta graphs: variables frozen, whatever kind they are and however saved."""

import contextlib
import functools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flatshot.errors import FileError, FlatshotError, FormatError, UnsupportedError
from flatshot.formats import protobuf
from flatshot.formats.checkpoint import write_checkpoint
from flatshot.formats.graph_files import is_graph, load_graph
from flatshot.formats.graphdef import Graph, Node
from flatshot.formats.saved_model import is_saved_model, load_saved_model, read_saved_model
from tests.compiler.graphs import const, graph, placeholder
from tests.compiler.graphs import node as make

WEIGHTS = {
    "plain": np.array([1, 2, 3], np.float32),
    "renamed/in/file": np.array([4, 5, 6], np.float32),
    "shared": np.array([7, 8, 9], np.float32),
}


@functools.cache
def _messages() -> dict[str, Any]:
    """The messages as TensorFlow declares them, graphs as their bytes."""
    return protobuf.message_classes(
        "test.saved_model",
        "proto3",
        {
            "SavedModel": ["int64 version = 1", "repeated Meta meta_graphs = 2"],
            "Meta": [
                "Info info = 1",
                "bytes graph_def = 2",
                "map<string, Signature> signature = 5",
            ],
            "Info": ["repeated string tags = 4", "string tensorflow_version = 5"],
            "Signature": ["map<string, Tensor> inputs = 1", "map<string, Tensor> outputs = 2"],
            "Tensor": ["string name = 1", "int32 dtype = 2"],
        },
    )


def _graph() -> Graph:
    """A variable of each kind added to an input, and the saver that knows one by another name."""
    names = np.array([b"other", b"renamed/in/file"], object)
    return graph(
        placeholder("x", 3),
        make("plain", "VariableV2"),
        make("plain/read", "Identity", "plain"),
        make("moved", "VariableV2"),
        make("moved/read", "Identity", "moved"),
        make("handle", "VarHandleOp", shared_name=b"shared"),
        make("handle/Read", "ReadVariableOp", "handle"),
        make("one", "AddV2", "x", "plain/read", "^init"),
        make("two", "AddV2", "one", "moved/read"),
        make("end", "AddV2", "two", "handle/Read"),
        make("init", "NoOp", "^assign"),
        const("prefix", np.array(b"", object)),
        const("names", names),
        make("restore", "RestoreV2", "prefix", "names", "names"),
        make("restored", "Identity", "restore:1"),
        make("assign", "Assign", "moved", "restored"),
        make("training", "Mystery", "end"),
    )


def _meta(source: Graph, *tags: str) -> Any:
    message = _messages()["Meta"](graph_def=source.to_bytes())
    message.info.tags.extend(tags)
    message.signature["serving_default"].outputs["y"].name = "end:0"
    message.signature["serving_default"].outputs["gone"].name = "not_there:0"
    return message


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A SavedModel whose second graph is the one to serve, and a meta graph beside it."""
    message = _messages()["SavedModel"](version=1)
    message.meta_graphs.append(_meta(graph(placeholder("other", 1)), "train"))
    message.meta_graphs.append(_meta(_graph(), "serve"))
    (tmp_path / "saved_model.pb").write_bytes(message.SerializeToString())
    write_checkpoint(tmp_path / "variables" / "variables", WEIGHTS)
    meta = _meta(_graph())
    (tmp_path / "model.ckpt.meta").write_bytes(meta.SerializeToString())
    write_checkpoint(tmp_path / "model.ckpt", WEIGHTS)
    return tmp_path


@pytest.mark.parametrize("name", ["", "saved_model.pb", "model.ckpt.meta"])
def test_variables_become_constants(folder: Path, name: str) -> None:
    """Each under the name of its node, with the value of the name under which it was saved."""
    assert is_graph(folder / name)
    frozen = load_graph(folder / name)
    for node, saved in (
        ("plain", "plain"),
        ("moved", "renamed/in/file"),
        ("handle", "shared"),
    ):
        assert frozen.by_name[node].op == "Const"
        np.testing.assert_array_equal(frozen.by_name[node].attrs["value"], WEIGHTS[saved])
    assert frozen.by_name["handle/Read"].op == "Identity"
    # What only serves saving and training is gone, and nothing waits for it.
    assert {node.op for node in frozen} == {"Placeholder", "Const", "Identity", "AddV2"}
    assert not any(text.startswith("^") for node in frozen for text in node.inputs)


def test_a_frozen_graph_needs_no_variables(tmp_path: Path) -> None:
    """A SavedModel may hold constants alone, and no bundle."""
    source = graph(placeholder("x", 3), make("end", "Relu", "x"))
    message = _messages()["SavedModel"](version=1)
    message.meta_graphs.append(_meta(source, "serve"))
    (tmp_path / "saved_model.pb").write_bytes(message.SerializeToString())
    assert len(load_saved_model(tmp_path)) == 2
    assert is_saved_model(tmp_path)


def test_what_is_missing_is_named(folder: Path) -> None:
    """A variable, the bundle, the file."""
    write_checkpoint(folder / "variables" / "variables", {"plain": WEIGHTS["plain"]})
    with pytest.raises(FileError, match="lacks renamed/in/file, shared: is it this model's"):
        load_saved_model(folder)
    (folder / "variables" / "variables.index").unlink()
    with pytest.raises(FileError, match=r"variables"):
        load_saved_model(folder)
    with pytest.raises(FileError, match=r"saved_model\.pb"):
        load_saved_model(folder / "variables")


def test_an_identity_of_itself_is_refused(tmp_path: Path) -> None:
    """What a saver assigns may not wait for itself."""
    source = graph(
        make("moved", "VariableV2"),
        make("end", "Identity", "moved"),
        make("restored", "Identity", "restored"),
        make("assign", "Assign", "moved", "restored"),
    )
    (tmp_path / "model.ckpt.meta").write_bytes(_meta(source).SerializeToString())
    write_checkpoint(tmp_path / "model.ckpt", WEIGHTS)
    with pytest.raises(FormatError, match="'restored' waits for itself"):
        load_graph(tmp_path / "model.ckpt.meta")


def test_a_call_of_nothing_is_refused(folder: Path) -> None:
    """A model of TensorFlow 2 whose library of functions was lost."""
    call = Node("end", "StatefulPartitionedCall", ("x",))
    message = _messages()["SavedModel"](version=1)
    message.meta_graphs.append(_meta(graph(placeholder("x", 3), call), "serve"))
    (folder / "saved_model.pb").write_bytes(message.SerializeToString())
    with pytest.raises(UnsupportedError, match=r"StatefulPartitionedCall 'end' names no"):
        load_saved_model(folder)


def test_other_bytes_are_no_model(tmp_path: Path) -> None:
    """Empty, of another format, cut short."""
    for data in (b"", b"\xff\xff\xff"):
        with pytest.raises(FormatError):
            read_saved_model(data)


def test_every_prefix_is_a_value_or_an_error_of_ours(folder: Path) -> None:
    """Wherever the file ends."""
    data = (folder / "saved_model.pb").read_bytes()
    for end in range(len(data)):
        with contextlib.suppress(FlatshotError):
            read_saved_model(data[:end])
