"""TensorFlow Lite -> IR: a model that was written once, as a graph that passes can work on.

Filters come back in TensorFlow's layout. Integers of 8 bits become the real numbers that they stand
for, and their ranges are kept: what comes out computes with real numbers.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from flatshot.compiler.importer import CUSTOM
from flatshot.compiler.ir import Graph, Op, Range, Value
from flatshot.compiler.operators import OPERATORS, fitting
from flatshot.errors import GraphError, UnsupportedOpError
from flatshot.formats import tflite
from flatshot.formats.custom_options import read_options
from flatshot.formats.graphdef import Array
from flatshot.formats.tflite import Activation, Builtin, Padding, TFLiteModel

_KINDS = {op.builtin: kind for kind, op in OPERATORS.items() if op.builtin is not None}
_SLIDING = ("conv2d", "depthwise_conv2d", "max_pool", "average_pool")
_ACTIVATED = (*_SLIDING, "add", "sub", "mul", "div", "concat")
_MASKS = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
_INTEGERS = {np.dtype(np.uint8): (0, 255), np.dtype(np.int8): (-128, 127)}


def read_graph(model: TFLiteModel) -> Graph:
    """The IR of the first sub-graph of `model`.

    Raises:
        GraphError: operators and tensors do not fit.
        UnsupportedOpError: operators that are not known, all of them at once.
    """
    if not model.subgraphs:
        raise GraphError("the model has no sub-graph")
    return _Reader(model).graph()


class _Reader:
    def __init__(self, model: TFLiteModel) -> None:
        self._model = model
        self._source = model.subgraphs[0]
        self._graph = Graph()
        self._values: dict[int, Value] = {}
        self._names: set[str] = set()
        self._filters: dict[tuple[int, str], Value] = {}

    def graph(self) -> Graph:
        graph = self._graph
        self._check_known()
        graph.inputs = [self._value(number) for number in tflite.indices(self._source.inputs)]
        for operator in self._source.operators:
            self._add(operator)
        graph.outputs = [self._value(number) for number in tflite.indices(self._source.outputs)]
        graph.verify()
        return graph

    def _check_known(self) -> None:
        codes = [self._model.operator_codes[o.opcode_index] for o in self._source.operators]
        unknown = sorted(
            {code.name for code in codes if code.code != Builtin.CUSTOM and code.code not in _KINDS}
        )
        if unknown:
            raise UnsupportedOpError(
                f"the model has operators that Flatshot does not read: {', '.join(unknown)}"
            )

    def _value(self, number: int) -> Value:
        if number not in self._values:
            self._values[number] = self._new_value(number)
        return self._values[number]

    def _new_value(self, number: int) -> Value:
        tensor = self._source.tensors[number]
        dtype = tflite.NUMPY_TYPES.get(tensor.type)
        if dtype is None:
            raise GraphError(f"tensor {tensor.name!r} is of a type that Flatshot does not read")
        name = tensor.name or f"tensor_{number}"
        while name in self._names:
            name = f"{name}_{number}"
        self._names.add(name)
        data = tflite.constant(self._model, tensor)
        shape = None if tensor.shape is None else tuple(int(size) for size in tensor.shape)
        value = Value(name, shape, dtype, data)
        return _as_real(value, tensor)

    def _add(self, operator: tflite.Operator) -> None:
        code = self._model.operator_codes[operator.opcode_index]
        inputs = [self._value(number) for number in tflite.indices(operator.inputs)]
        outputs = [self._value(number) for number in tflite.indices(operator.outputs)]
        if not outputs:
            raise GraphError(f"an operator {code.name} makes nothing")
        name = outputs[0].name
        if code.code == Builtin.CUSTOM:
            options = operator.custom_options
            found = {} if options is None else read_options(options.tobytes())
            attrs = {"op": code.custom_code, "options": found}
            for value in outputs:
                value.shape = None
            self._graph.add(Op(CUSTOM, name, inputs, attrs), outputs)
            return
        kind = _KINDS[Builtin(code.code)]
        if kind in ("conv2d", "depthwise_conv2d"):
            inputs[1] = self._filter(kind, inputs[0], inputs[1])
        if kind == "reshape" and len(inputs) == 1:
            sides = np.array(outputs[0].dims, np.int32)
            inputs.append(self._graph.constant(self._fresh(f"{name}/shape"), sides))
        op = Op(kind, name, inputs, {})
        with fitting(op):
            op.attrs = _attrs(kind, operator.options)
            if kind == "concat":
                op.attrs["axis"] %= len(outputs[0].dims)
            least, _ = OPERATORS[kind].inputs  # a fused bias comes on top
            if len(inputs) < least:
                raise GraphError(f"{kind} {name!r} has {len(inputs)} inputs, not {least}")
            OPERATORS[kind].shape(op)  # whatever it lacks shows here
        self._graph.add(op, outputs)

    def _fresh(self, name: str) -> str:
        while name in self._names:
            name = f"{name}_"
        self._names.add(name)
        return name

    def _filter(self, kind: str, image: Value, value: Value) -> Value:
        """The filter as TensorFlow lays it; whoever reads it as it lies in the file keeps that."""
        data = value.data
        if data is None or data.ndim != 4:
            raise GraphError(f"the filter {value.name!r} is no constant of four dimensions")
        if kind == "conv2d":
            laid = data.transpose(1, 2, 3, 0)
        else:
            depth = image.dims[-1]
            if data.shape[0] != 1 or data.shape[3] % depth:
                raise GraphError(f"the filter {value.name!r} does not fit {depth} channels")
            laid = data.reshape(*data.shape[1:3], depth, -1)
        key = (id(value), kind)
        if key not in self._filters:
            made = self._graph.constant(
                self._fresh(value.name) if value.users else value.name, laid
            )
            made.range = value.range
            self._filters[key] = made
        return self._filters[key]


def _as_real(value: Value, tensor: tflite.Tensor) -> Value:
    """`value`, with real numbers for integers of 8 bits, and for biases of 32."""
    said = tensor.quantization
    if said is None or said.scale is None or not said.scale.size:
        return value
    scale = said.scale.astype(np.float64)
    zero = np.zeros(1) if said.zero_point is None else said.zero_point.astype(np.float64)
    ends = _INTEGERS.get(value.dtype)
    if ends is None and value.dtype != np.int32:
        return value
    if value.data is not None:
        value.data = _reals(value.data, scale, zero, said.axis)
    elif ends is not None and scale.size == 1:
        low, high = ((end - float(zero[0])) * float(scale[0]) for end in ends)
        value.range = Range(low, high)
    value.dtype = np.dtype(np.float32)
    return value


def _reals(data: Array, scale: Array, zero: Array, axis: int) -> Array:
    sides = [1] * data.ndim
    if scale.size > 1 and data.ndim:
        sides[axis] = -1
    real = data.astype(np.float64) - zero.reshape(sides if zero.size > 1 else [1] * data.ndim)
    return np.asarray(real * scale.reshape(sides), np.float32)


def _attrs(kind: str, options: Any) -> dict[str, Any]:
    attrs: dict[str, Any] = {}
    if kind in _SLIDING:
        attrs["padding"] = Padding(options.padding)
        attrs["strides"] = (options.stride_h, options.stride_w)
        if isinstance(options, tflite.Pool2DOptions):
            attrs["window"] = (options.filter_h, options.filter_w)
        else:
            attrs["dilations"] = (options.dilation_h, options.dilation_w)
    elif kind in _OPTIONS:
        if options is None:
            raise GraphError(f"an operator {kind} has no options")
        attrs |= _OPTIONS[kind](options)
    activation = getattr(options, "activation", 0) if kind in _ACTIVATED else 0
    if activation:
        if activation not in (Activation.RELU, Activation.RELU6):
            raise UnsupportedOpError(f"a fused activation {activation} is not read")
        attrs["activation"] = Activation(activation)
    return attrs


_OPTIONS: dict[str, Callable[[Any], dict[str, Any]]] = {
    "concat": lambda o: {"axis": o.axis},
    "resize_nearest": lambda o: {
        "align_corners": o.align_corners,
        "half_pixel_centers": o.half_pixel_centers,
    },
    "resize_bilinear": lambda o: {
        "align_corners": o.align_corners,
        "half_pixel_centers": o.half_pixel_centers,
    },
    "mean": lambda o: {"keep_dims": o.keep_dims},
    "mirror_pad": lambda o: {"mode": "SYMMETRIC" if o.mode else "REFLECT"},
    "leaky_relu": lambda o: {"alpha": o.alpha},
    "gather": lambda o: {"axis": o.axis},
    "pack": lambda o: {"axis": o.axis},
    "unpack": lambda o: {"axis": o.axis, "num": o.num},
    "split": lambda o: {"num": o.num_splits},
    "strided_slice": lambda o: {mask: getattr(o, mask) for mask in _MASKS},
    "cast": lambda o: {"element": tflite.NUMPY_TYPES[o.out_data_type]},
    "shape": lambda o: {"element": tflite.NUMPY_TYPES[o.out_type]},
}
