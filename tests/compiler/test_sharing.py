"""Filters that several places read: TOCO's operators of a feature pyramid, and its size."""

import ast
from pathlib import Path

from flatshot.conversion.convert import convert
from flatshot.formats import tflite
from tests import families


def test_toco_operators_of_a_feature_pyramid(data: Path) -> None:
    """Each filter once, the multiplications of batch norm beside it: 182 operators, 49.2 MB."""
    model = convert(families.build(data, "ssd_mobilenet_v1_fpn")).tflite
    header, *lines = (data / "families/ssd_mobilenet_v1_fpn/toco_ops.txt").read_text().splitlines()
    want = []
    for line in lines:
        head, arrow, made = line.partition("] -> [")
        _, code, _ = head.split(" ", 2)
        shapes = [shape for _, shape, _ in ast.literal_eval(head[head.index("[") :] + "]")]
        want.append((int(code), shapes, ast.literal_eval("[" + made)))
        assert arrow
    graph = model.subgraphs[0]

    def shape_of(number: int) -> list[int]:
        shape = graph.tensors[number].shape
        return [] if shape is None else shape.tolist()

    got = [
        (
            int(model.operator_codes[operator.opcode_index].code),
            [shape_of(number) for number in tflite.indices(operator.inputs)],
            [graph.tensors[number].name for number in tflite.indices(operator.outputs)],
        )
        for operator in graph.operators
    ]
    assert sorted(map(repr, got)) == sorted(map(repr, want))
    assert (len(got), len(graph.tensors)) == (182, 360)
    assert " 182 360 " in header
    constants = sum(buffer.data.nbytes for buffer in model.buffers if buffer.data is not None)
    assert 49.0e6 < constants < 49.3e6
