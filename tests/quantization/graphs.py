"""Random small detectors and single operators, and what LiteRT makes of their int8 forms."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from flatshot.compiler.emitter import emit
from flatshot.compiler.passes import WRITING, run_passes
from flatshot.compiler.quantization.ranges import apply_ranges, measured, unfuse_hard_swish
from flatshot.compiler.quantization.signed import SignedSettings, quantize_signed
from flatshot.compiler.reader import read_graph
from flatshot.conversion.convert import convert
from flatshot.formats import tflite
from flatshot.formats.graphdef import Graph
from flatshot.runtime.calibration import calibrate
from tests import litert

Floats = npt.NDArray[np.float32]


def both(
    source: Graph, images: Sequence[Floats], settings: SignedSettings | None = None
) -> tuple[Floats, Floats, tflite.TFLiteModel]:
    """What the float model and its int8 form give for the first image, and the int8 form.

    Calibrated on all of the images; results in integers are turned into real numbers.
    """
    model = convert(source, output_arrays=["y"], inference_type="FLOAT")
    data = bytes(model.to_bytes())
    (want,) = litert.run(data, images[0])
    graph = read_graph(model.tflite)
    seen = calibrate(data, images, [*measured(graph), "y"])
    apply_ranges(graph, seen)
    unfuse_hard_swish(graph)
    lowest, highest = (float(end(images)) for end in (np.min, np.max))
    quantize_signed(graph, settings or SignedSettings(input_range=(lowest, highest)))
    run_passes(graph, WRITING)
    small = tflite.read_model(bytes(tflite.write_model(emit(graph, "test"))))
    (got,) = litert.run(tflite.write_model(small), images[0])
    output = small.subgraphs[0].tensors[tflite.indices(small.subgraphs[0].outputs)[0]]
    said = output.quantization
    if said is not None and said.scale is not None and said.zero_point is not None:
        got = (got.astype(np.float32) - np.float32(said.zero_point[0])) * said.scale[0]
    return want, np.asarray(got, np.float32), small


def codes(model: tflite.TFLiteModel) -> list[str]:
    """The operators in their order, with their versions."""
    graph = model.subgraphs[0]
    used = [model.operator_codes[operator.opcode_index] for operator in graph.operators]
    return [f"{code.name} {code.version}" for code in used]
