"""TensorFlow Lite models against the schema that LiteRT ships."""

import inspect
import re
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from flatshot.errors import FormatError
from flatshot.formats import flatbuffer, tflite
from flatshot.formats.flatbuffer import Kind

TABLES: dict[str, type] = {
    "Model": tflite.TFLiteModel,
    "QuantizationParameters": tflite.Quantization,
    **{
        cls.__name__: cls
        for cls in (
            *tflite.BUILTIN_OPTIONS.values(),
            tflite.Tensor,
            tflite.OperatorCode,
            tflite.Operator,
            tflite.SubGraph,
            tflite.Buffer,
            tflite.Metadata,
            tflite.TensorMap,
            tflite.SignatureDef,
        )
    },
}
# Our names of fields, where the schema's say it otherwise.
RENAMED = {
    "activation": "fusedactivationfunction",
    "dilation_w": "dilationwfactor",
    "dilation_h": "dilationhfactor",
    "filter_w": "filterwidth",
    "filter_h": "filterheight",
    "options_type": "builtinoptionstype",
    "options": "builtinoptions",
    "custom_options_format": "customoptionsformat",
    "axis": "quantizeddimension",
}
KINDS = {
    "Bool": Kind.BOOL,
    "Uint8": Kind.U8,
    "Int8": Kind.I8,
    "Int32": Kind.I32,
    "Uint32": Kind.U32,
    "Int64": Kind.I64,
    "Float32": Kind.F32,
}


def schema_slots(table: str) -> dict[str, tuple[str, int, float]]:
    """Kind, slot and default of each field, from the writer that `flatc` generated."""
    found = {}
    for name, function in inspect.getmembers(schema, inspect.isfunction):
        match = re.fullmatch(rf"{table}Add(\w+)", name)
        if match:
            source = inspect.getsource(function)
            kind, slot, default = re.findall(r"Prepend(\w+)Slot\((\d+), .*, ([-\w.]+)\)", source)[0]
            found[match[1].lower()] = (kind, int(slot), float(default))
    return found


@pytest.mark.parametrize("table", TABLES)
def test_each_slot_number_kind_and_default_is_the_schemas(table: str) -> None:
    """Read from the generated writer of LiteRT, field by field."""
    theirs = schema_slots(table)
    for name, slot in flatbuffer.slots(TABLES[table]).items():
        key = name.replace("_", "")
        kind, number, default = theirs[key if key in theirs else RENAMED[name]]
        assert slot.number == number, name
        if kind == "UOffsetTRelative":
            assert slot.vector or slot.kind in (Kind.STRING, Kind.TABLE, Kind.UNION), name
        else:
            # int32 is an int32 enum as well; bool has a default of 0 or 1.
            assert (slot.kind, float(slot.default)) == (KINDS[kind], default), name


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (tflite.TensorType, schema.TensorType),
        (tflite.Builtin, schema.BuiltinOperator),
        (tflite.Padding, schema.Padding),
        (tflite.Activation, schema.ActivationFunctionType),
    ],
)
def test_each_enum_value_is_the_schemas(ours: Any, theirs: Any) -> None:
    """By name."""
    assert {item.name: item.value for item in ours} == {
        item.name: getattr(theirs, item.name) for item in ours
    }


def test_each_number_of_options_is_the_schemas() -> None:
    """The union's type says which table follows."""
    assert {cls.__name__: number for number, cls in tflite.BUILTIN_OPTIONS.items()} == {
        cls.__name__: getattr(schema.BuiltinOptions, cls.__name__)
        for cls in tflite.BUILTIN_OPTIONS.values()
    }


def sample() -> tflite.TFLiteModel:
    """A model that uses every table and every kind of field."""
    weights = np.arange(8, dtype=np.float32)
    return tflite.TFLiteModel(
        version=3,
        description="ü",
        operator_codes=[
            tflite.OperatorCode(3, "", 2, 3),
            tflite.OperatorCode(32, "TFLite_Detection_PostProcess", 1, 32),
        ],
        buffers=[
            tflite.Buffer(),
            tflite.Buffer(weights.view(np.uint8)),
            tflite.Buffer(np.arange(3, dtype=np.uint8)),
        ],
        subgraphs=[
            tflite.SubGraph(
                tensors=[
                    tflite.Tensor(
                        "x",
                        np.array([1, 2, 2, 2], np.int32),
                        int(tflite.TensorType.UINT8),
                        quantization=tflite.Quantization(
                            scale=np.array([0.5], np.float32), zero_point=np.array([128], np.int64)
                        ),
                        has_rank=True,
                    ),
                    tflite.Tensor("w", np.array([4, 1, 1, 2], np.int32), buffer=1),
                    tflite.Tensor("y", shape_signature=np.array([-1], np.int32), is_variable=True),
                ],
                inputs=np.array([0], np.int32),
                outputs=np.array([2], np.int32),
                operators=[
                    tflite.Operator(
                        inputs=np.array([0, 1, -1], np.int32),
                        outputs=np.array([2], np.int32),
                        options_type=1,
                        options=tflite.Conv2DOptions(1, 2, 3, 3, 1, 5),
                    ),
                    tflite.Operator(
                        1,
                        np.array([2], np.int32),
                        np.array([2], np.int32),
                        custom_options=np.arange(5, dtype=np.uint8),
                    ),
                ],
                name="main",
            )
        ],
        metadata=[tflite.Metadata("note", 2)],
        signature_defs=[
            tflite.SignatureDef(
                [tflite.TensorMap("in", 0)], [tflite.TensorMap("out", 2)], "serving_default", 0
            )
        ],
    )


def plain(value: Any) -> Any:
    """Tables as dicts and arrays as lists, so that they can be compared."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def test_a_written_model_reads_back_equal() -> None:
    """Every field, defaults included."""
    assert plain(tflite.read_model(tflite.write_model(sample()))) == plain(sample())


def test_litert_reads_what_is_written_and_the_other_way_round() -> None:
    """Through the object API of its schema."""
    data = bytes(tflite.write_model(sample()))
    theirs = schema.ModelT.InitFromPackedBuf(data, 0)
    graph = theirs.subgraphs[0]
    options = graph.operators[0].builtinOptions
    assert theirs.description == "ü".encode()
    assert [code.builtinCode for code in theirs.operatorCodes] == [3, 32]
    assert [tensor.name for tensor in graph.tensors] == [b"x", b"w", b"y"]
    assert (options.padding, options.strideW, options.strideH) == (1, 2, 3)
    assert (options.fusedActivationFunction, options.dilationHFactor) == (3, 5)
    assert graph.tensors[0].quantization.zeroPoint.tolist() == [128]
    assert graph.operators[1].customOptions.tolist() == [0, 1, 2, 3, 4]
    assert theirs.signatureDefs[0].outputs[0].tensorIndex == 2

    import flatbuffers

    builder = flatbuffers.Builder()
    builder.Finish(theirs.Pack(builder), b"TFL3")
    assert plain(tflite.read_model(bytes(builder.Output()))) == plain(sample())


def test_constants_lie_at_multiples_of_sixteen_bytes() -> None:
    """Within the file, as delegates ask for."""
    data = np.frombuffer(tflite.write_model(sample()), np.uint8)
    model = tflite.read_model(data.tobytes())
    whole = tflite.write_model(sample())
    start = np.frombuffer(whole, np.uint8).__array_interface__["data"][0]
    for buffer in tflite.read_model(whole).buffers[1:]:
        assert buffer.data is not None
        assert (buffer.data.__array_interface__["data"][0] - start) % 16 == 0
    assert len(model.buffers) == 3


def test_constants_are_views_in_shape_and_dtype() -> None:
    """Computed tensors have none."""
    model = tflite.read_model(tflite.write_model(sample()))
    _, weights, computed = model.subgraphs[0].tensors
    value = tflite.constant(model, weights)
    assert value is not None
    assert value.shape == (4, 1, 1, 2)
    assert value.ravel().tolist() == list(range(8))
    assert tflite.constant(model, computed) is None
    weights.shape = np.array([3], np.int32)
    with pytest.raises(FormatError, match=r"'w': 32 bytes do not fill shape \[3\]"):
        tflite.constant(model, weights)
    weights.type = int(tflite.TensorType.STRING)
    with pytest.raises(FormatError, match="element type 5 has no NumPy dtype"):
        tflite.constant(model, weights)


def break_version(model: tflite.TFLiteModel) -> None:
    """Another version of the schema."""
    model.version = 4


def break_output(model: tflite.TFLiteModel) -> None:
    """An output that is not there."""
    model.subgraphs[0].outputs = np.array([3], np.int32)


def break_buffer(model: tflite.TFLiteModel) -> None:
    """A buffer that is not there."""
    model.subgraphs[0].tensors[1].buffer = 3


def break_code(model: tflite.TFLiteModel) -> None:
    """An operator code that is not there."""
    model.subgraphs[0].operators[0].opcode_index = 2


def break_input(model: tflite.TFLiteModel) -> None:
    """A tensor number below that of an optional one."""
    model.subgraphs[0].operators[0].inputs = np.array([-2], np.int32)


def break_rank(model: tflite.TFLiteModel) -> None:
    """More dimensions than an array can have."""
    model.subgraphs[0].tensors[0].shape = np.ones(33, np.int32)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (break_version, "version 4; only 3"),
        (break_output, "sub-graph 0: outputs point to tensors"),
        (break_buffer, "'w' has buffer 3 of none"),
        (break_code, "operator 0 has an operator code out of range"),
        (break_input, "inputs of operator 0 point to tensors"),
        (break_rank, "'x' has 33 dimensions"),
    ],
)
def test_a_number_that_points_nowhere_is_refused(change: Any, reason: str) -> None:
    """By place and name."""
    model = sample()
    change(model)
    with pytest.raises(FormatError, match=reason):
        tflite.read_model(tflite.write_model(model))


def test_an_old_file_keeps_its_code_in_the_deprecated_field_alone() -> None:
    """The larger of both is meant; beyond 127 there is only the new one."""
    assert tflite.OperatorCode(deprecated_builtin_code=4).name == "DEPTHWISE_CONV_2D"
    assert tflite.OperatorCode(127, builtin_code=300).name == "BUILTIN_300"
    assert tflite.OperatorCode(32, "My_Op").name == "My_Op"
    assert tflite.OperatorCode(32).name == "CUSTOM"
