"""Quantisation-aware detectors of the real data, and what TOCO made of them."""

import hashlib
import lzma
from pathlib import Path
from typing import Any

from flatshot.compiler.compile import Model
from flatshot.conversion.convert import convert
from flatshot.formats import tflite
from flatshot.formats.custom_options import read_options
from flatshot.formats.graphdef import Graph
from flatshot.formats.pipeline import load_pipeline
from flatshot.formats.tflite import TFLiteModel
from flatshot.models.detection_config import read_config
from flatshot.models.export import _postprocess_attrs, build_graph, export
from tests.families import Variables

FAMILY = "families/ssd_mobilenet_v1_quantized"
RULE = "quantised/rule_ssdlite_v2_quant"
REAL = "quantised/v1_0.75_quant"


def from_rule(data: Path, folder: str, rule: str) -> Graph:
    """The exported graph of a detector whose variables follow from their names."""
    config = read_config(load_pipeline(data / folder / "pipeline.config"))
    variables = Variables(data / folder / "model.ckpt.index", data / rule)
    attrs = _postprocess_attrs(config, 100, 1, 100, True)
    return build_graph(config, variables, attrs)


def real_checkpoint(data: Path, folder: Path) -> Path:
    """The checkpoint with real weights, unpacked into `folder`."""
    source = data / REAL / "ckpt"
    for path in source.iterdir():
        content = path.read_bytes()
        if path.suffix == ".xz":
            content = lzma.decompress(content)
            assert hashlib.sha256(content).hexdigest().startswith("d9be7459")
        (folder / path.name.removesuffix(".xz")).write_bytes(content)
    return folder


def toco(data: Path, folder: str) -> TFLiteModel:
    """TOCO's file."""
    return tflite.read_model((data / folder / "toco_uint8.tflite").read_bytes())


def quantised(graph: Graph, **options: Any) -> Model:
    """The model that TOCO's flags make of `graph`."""
    settings = {"change_concat_input_ranges": False, **options}
    return convert(graph, inference_type="QUANTIZED_UINT8", **settings)


def real(data: Path, folder: Path) -> Graph:
    """The exported graph of the detector with real weights."""
    return export(real_checkpoint(data, folder), use_regular_nms=True, max_detections=100)


def table(model: TFLiteModel) -> dict[str, Any]:
    """All that a model says of its tensors and operators, by names instead of indices."""
    graph = model.subgraphs[0]
    names = [tensor.name for tensor in graph.tensors]
    return {
        "inputs": [names[n] for n in tflite.indices(graph.inputs)],
        "outputs": [names[n] for n in tflite.indices(graph.outputs)],
        "tensors": {t.name: _tensor(model, t) for t in graph.tensors},
        "operators": [_operator(model, operator, names) for operator in graph.operators],
    }


def _tensor(model: TFLiteModel, tensor: tflite.Tensor) -> dict[str, Any]:
    data = tflite.constant(model, tensor)
    said = tensor.quantization or tflite.Quantization()
    numbers = {
        name: None if (found := getattr(said, name)) is None or not found.size else found.tolist()
        for name in ("scale", "zero_point", "min", "max")
    }
    return {
        "type": tensor.type,
        "shape": [] if tensor.shape is None else tensor.shape.tolist(),
        "data": None if data is None else hashlib.sha256(data.tobytes()).hexdigest(),
        **numbers,
    }


def _operator(model: TFLiteModel, operator: tflite.Operator, names: list[str]) -> dict[str, Any]:
    code = model.operator_codes[operator.opcode_index]
    options = operator.custom_options
    return {
        "code": (int(code.code), code.custom_code, code.version),
        "inputs": [names[n] for n in tflite.indices(operator.inputs)],
        "outputs": [names[n] for n in tflite.indices(operator.outputs)],
        "options": repr(operator.options),
        "custom": None if options is None else read_options(options),
    }
