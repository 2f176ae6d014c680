"""What two .tflite files are compared by."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from flatshot.formats import tflite
from flatshot.formats.custom_options import read_options


def names_of(model: tflite.TFLiteModel, numbers: Any) -> list[str]:
    """The names of the tensors `numbers`."""
    return [model.subgraphs[0].tensors[n].name for n in tflite.indices(numbers)]


def tensors_of(model: tflite.TFLiteModel) -> dict[str, tuple[list[int], int]]:
    """Shape and element type of each tensor, by name, in the order of the file."""
    return {
        tensor.name: ([] if tensor.shape is None else tensor.shape.tolist(), tensor.type)
        for tensor in model.subgraphs[0].tensors
    }


def operators_of(model: tflite.TFLiteModel) -> Iterator[tuple[Any, ...]]:
    """Of each operator: name, names of inputs and outputs, options, custom options."""
    for operator in model.subgraphs[0].operators:
        options = operator.options
        if isinstance(options, tflite.ReshapeOptions):
            assert options.new_shape is not None
            options = options.new_shape.tolist()
        custom = operator.custom_options
        yield (
            model.operator_codes[operator.opcode_index].name,
            names_of(model, operator.inputs),
            names_of(model, operator.outputs),
            options,
            None if custom is None else read_options(custom),
        )


def assert_constants_equal(got: tflite.TFLiteModel, want: tflite.TFLiteModel) -> int:
    """Check that all constants of `want` are in `got`, bit for bit; how many there are."""
    ours = {tensor.name: tensor for tensor in got.subgraphs[0].tensors}
    count = 0
    for tensor in want.subgraphs[0].tensors:
        value = tflite.constant(want, tensor)
        if value is not None:
            np.testing.assert_array_equal(
                tflite.constant(got, ours[tensor.name]), value, err_msg=tensor.name
            )
            count += 1
    return count
