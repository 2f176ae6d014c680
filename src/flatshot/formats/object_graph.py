"""What TensorFlow 2 says of the variables in a checkpoint: the graph of the objects that own them.

There a variable's key is a path of attribute names from the saved object (`model/_box_predictor/
.../kernel/.ATTRIBUTES/VARIABLE_VALUE`), and one more tensor holds a graph of all objects, in which
each variable bears the name that Keras gave it. Source: TensorFlow's
`core/protobuf/trackable_object_graph.proto`, `python/training/tracking/graph_view.py`.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from flatshot.errors import FormatError
from flatshot.formats import protobuf
from flatshot.formats.checkpoint import Checkpoint
from flatshot.formats.graphdef import DataType

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
_VALUE = "VARIABLE_VALUE"


@dataclass(frozen=True)
class ObjectGraph:
    """The variables of an object-based checkpoint, as its object graph tells them.

    `keys` holds the checkpoint's key of each variable by its full name (`Conv1/kernel`); an
    optimizer's slots are not among them, nor names that two variables share. `slots` holds for
    each kind of slot (`momentum`, `average`) the key of the slot by the key of the variable that it
    belongs to. `roots` are the attributes of what was saved: `model`, and in a training checkpoint
    `optimizer`, `step`.
    """

    keys: Mapping[str, str]
    slots: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    roots: tuple[str, ...] = ()


def is_object_based(checkpoint: Mapping[str, Any]) -> bool:
    """Whether a checkpoint with these names is TensorFlow 2's, with an object graph or without."""
    return KEY in checkpoint or any(name.endswith(SUFFIX) for name in checkpoint)


def load_object_graph(checkpoint: Checkpoint) -> ObjectGraph | None:
    """The object graph in `checkpoint`, or None where it has none.

    Raises:
        FormatError: it is damaged.
    """
    if KEY not in checkpoint:
        return None
    variable = checkpoint[KEY]
    if variable.data_type is not DataType.DT_STRING or variable.shape != ():
        raise FormatError(f"{checkpoint.prefix}.index: {KEY} is no single string")
    try:
        return read_object_graph(checkpoint.read(KEY).item())
    except FormatError as error:
        raise FormatError(f"{checkpoint.shard_path(variable.shard)}: {error}") from error


def read_object_graph(data: bytes) -> ObjectGraph:
    """The object graph in the bytes of a TrackableObjectGraph; each object is looked at once.

    Raises:
        FormatError: `data` is no such message, or names an object that it does not have.
    """
    nodes = protobuf.parse_binary(_messages()["TrackableObjectGraph"], data, "object graph").nodes
    values = [_value(node) for node in nodes]
    slots = _slots(nodes, values)
    of_slots = {slot for by_variable in slots.values() for slot in by_variable.values()}
    keys: dict[str, str] = {}
    shared = {""}
    for full_name, key in filter(None, values):
        if key not in of_slots and keys.setdefault(full_name, key) != key:
            shared.add(full_name)
    for full_name in shared & keys.keys():
        del keys[full_name]
    roots = tuple(child.local_name for child in nodes[0].children) if nodes else ()
    return ObjectGraph(keys, slots, roots)


def _value(node: Any) -> tuple[str, str] | None:
    """Full name and key of the variable that `node` is, if it is one."""
    found = (each for each in node.attributes if each.name == _VALUE)
    return next(((each.full_name, each.checkpoint_key) for each in found), None)


def _slots(nodes: Any, values: list[tuple[str, str] | None]) -> dict[str, dict[str, str]]:
    def key_of(number: int) -> str | None:
        if not 0 <= number < len(values):
            raise FormatError(f"the object graph has {len(values)} objects and names {number}")
        value = values[number]
        return value[1] if value else None

    slots: dict[str, dict[str, str]] = {}
    for node in nodes:
        for each in node.slot_variables:
            variable = key_of(each.original_variable_node_id)
            slot = key_of(each.slot_variable_node_id)
            if variable and slot:
                slots.setdefault(each.slot_name, {})[variable] = slot
    return slots


@functools.cache
def _messages() -> dict[str, Any]:
    return protobuf.message_classes(
        "tensorflow.trackable",
        "proto3",
        {
            "TrackableObjectGraph": ["repeated TrackableObject nodes = 1"],
            "TrackableObject": [
                "repeated ObjectReference children = 1",
                "repeated SerializedTensor attributes = 2",
                "repeated SlotVariableReference slot_variables = 3",
            ],
            "ObjectReference": ["int32 node_id = 1", "string local_name = 2"],
            "SerializedTensor": [
                "string name = 1",
                "string full_name = 2",
                "string checkpoint_key = 3",
            ],
            "SlotVariableReference": [
                "int32 original_variable_node_id = 1",
                "string slot_name = 2",
                "int32 slot_variable_node_id = 3",
            ],
        },
    )
