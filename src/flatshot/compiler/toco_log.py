"""The figures of TOCO's log, of a graph before and of the model after.

TOCO counts a graph as its own importer leaves it: a convolution's filter is reordered by an
operator of its own, once for each filter, and a batch norm is four operators (add epsilon, rsqrt,
multiply, normalise) with a constant for epsilon. Source: `toco/import_tensorflow.cc`.
"""

from dataclasses import dataclass

from flatshot.compiler.cost import MemoryPlan, arithmetic_ops, plan_memory
from flatshot.formats.graphdef import Graph, Node
from flatshot.formats.tflite import Tensor, TFLiteModel

_BATCH_NORMS = ("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")


@dataclass(frozen=True)
class Counts:
    """Operators and arrays (tensors) of a graph, and how many of these are quantised."""

    operators: int
    arrays: int
    quantized: int = 0

    def __str__(self) -> str:
        counted = f"{self.operators} operators, {self.arrays} arrays"
        return f"{counted} ({self.quantized} quantized)"


@dataclass(frozen=True)
class ConversionLog:
    """What a conversion did, in figures.

    Attributes:
        imported: the whole graph as it was given.
        needed: what the outputs need of it.
        converted: the model.
        memory: bytes for what the model computes.
        arithmetic_ops: of one inference; a multiply-add counts as two.
    """

    imported: Counts
    needed: Counts
    converted: Counts
    memory: MemoryPlan
    arithmetic_ops: int

    def lines(self) -> list[str]:
        """The lines of TOCO's log, in its words."""
        return [
            f"Before Removing unused ops: {self.imported}",
            f"Before general graph transformations: {self.needed}",
            f"After general graph transformations pass 1: {self.converted}",
            *self._quantization_lines(),
            f"Before dequantization graph transformations: {self.converted}",
            f"Total transient array allocated size: {self.memory.allocated} bytes, "
            f"theoretical optimal value: {self.memory.optimal} bytes.",
            f"Estimated count of arithmetic ops: {format_ops(self.arithmetic_ops)} "
            "(note that a multiply-add is counted as 2 ops).",
        ]

    def _quantization_lines(self) -> list[str]:
        if not self.converted.quantized:
            return []
        return [
            f"After quantization graph transformations pass 1: {self.converted}",
            f"Before shuffling of FC weights: {self.converted}",
        ]


def make_log(graph: Graph, needed: set[str], inputs: set[str], model: TFLiteModel) -> ConversionLog:
    """The log of the conversion of `graph`, of which `needed` nodes were used, to `model`."""
    nodes = list(graph)
    before = count_graph(nodes, inputs)
    return rewriting_log(
        before, count_graph([node for node in nodes if node.name in needed], inputs), model
    )


def rewriting_log(imported: Counts, needed: Counts, model: TFLiteModel) -> ConversionLog:
    """The log of a model that was made of what was counted before."""
    return ConversionLog(
        imported=imported,
        needed=needed,
        converted=count_model(model),
        memory=plan_memory(model),
        arithmetic_ops=arithmetic_ops(model),
    )


def count_model(model: TFLiteModel) -> Counts:
    """Operators and tensors of a model."""
    graph = model.subgraphs[0]
    quantized = sum(map(_is_quantized, graph.tensors))
    return Counts(len(graph.operators), len(graph.tensors), quantized)


def _is_quantized(tensor: Tensor) -> bool:
    return tensor.quantization is not None and tensor.quantization.scale is not None


def count_graph(nodes: list[Node], inputs: set[str]) -> Counts:
    """Operators and arrays of `nodes` as TOCO counts them; `inputs` are no operators."""
    operators = arrays = 0
    filters: set[str] = set()
    for node in nodes:
        if node.name in inputs or node.op in ("Const", "Placeholder"):
            arrays += 1
            continue
        types = node.attrs.get("_output_types")
        made, constants = 1, 0
        outputs = len(types) if isinstance(types, list) and types else 1
        if node.op in _BATCH_NORMS:
            made, constants = 4, 1
        elif node.op in _CONVOLUTIONS and len(node.inputs) > 1 and node.inputs[1] not in filters:
            filters.add(node.inputs[1])
            made = 2
        operators += made
        arrays += made - 1 + outputs + constants
    return Counts(operators, arrays)


def format_ops(count: int) -> str:
    """`count` in millions or billions with six significant digits, as TOCO prints it."""
    if count < 10**6:
        return str(count)
    if count < 10**9:
        return f"{count / 1e6:.6g} M"
    return f"{count / 1e9:.6g} billion"
