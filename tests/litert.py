"""Running a model in LiteRT, the oracle for whatever Flatshot writes."""

from typing import Any

import numpy as np
import numpy.typing as npt


def run(model: bytes | memoryview, *inputs: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """The outputs of `model` for `inputs`, in the order of the file, on the plain kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=bytes(model),
        num_threads=1,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    for details, value in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(details["index"], value)
    interpreter.invoke()
    return [np.array(interpreter.get_tensor(d["index"])) for d in interpreter.get_output_details()]
