"""Graphs of quantisation-aware training: batch norm folded, FakeQuant nodes after layers.

What `tf.contrib.quantize.create_eval_graph` makes of a detector when its configuration has
`graph_rewriter { quantization { } }`. Sources: TensorFlow 1.15's `contrib/quantize/python/
{fold_batch_norms,quantize}.py`.
"""

import numpy as np

from flatshot.errors import UnsupportedError
from flatshot.formats.graphdef import Attr, Node
from flatshot.models.builder import GraphBuilder, Tensor

_CONVOLUTIONS = ("Conv2D", "DepthwiseConv2dNative")
_NORM = "FusedBatchNormV3"
_SUMS = ("Add", "AddV2")
_ACTIVATIONS = ("Relu", "Relu6", "Identity")
_ENDS = ("min", "max")
_FAKE_QUANT, _ACT = "FakeQuantWithMinMaxVars", "act_quant"


def rewrite_for_quantization(builder: GraphBuilder) -> None:
    """Turn the float network that `builder` holds into the one that was trained."""
    _Rewriter(builder).run()


class _Rewriter:
    def __init__(self, builder: GraphBuilder) -> None:
        self._builder = builder
        self._before = builder.nodes

    def run(self) -> None:
        for node in self._before:
            if node.op == _NORM:
                self._fold(node)
        layers = [node for node in self._builder.nodes if node.op in _CONVOLUTIONS]
        ends = {node.name: self._end_of_layer(node.name) for node in layers}
        # Those that end in a bias, the heads, are found last.
        layers.sort(key=lambda node: self._builder.by_name[ends[node.name]].op == "BiasAdd")
        for node in layers:
            self._quantize_layer(node, ends[node.name])
        self._quantize_sums(self._builder.nodes)

    # --- batch norm ----------------------------------------------------------------------------

    def _fold(self, norm: Node) -> None:
        """Let the convolution before `norm` have its factor in the weights, and a bias."""
        builder = self._builder
        nodes = builder.by_name
        conv = nodes[norm.inputs[0]]
        if conv.op not in _CONVOLUTIONS:
            raise UnsupportedError(
                "graph_rewriter.quantization: quantisation-aware graphs of a "
                "weight_shared_convolutional_box_predictor are not built: how their shared filters "
                "were trained is not known"
            )
        scope = conv.name.rpartition("/")[0]
        fold = _join(scope, "BatchNorm_Fold")
        gamma, beta, mean, variance = (self._constant(name) for name in norm.inputs[1:])
        depth = variance.shape
        epsilon = builder.constant(f"{fold}/add/y", np.array(norm.attrs["epsilon"], np.float32))
        total = builder.add("AddV2", f"{fold}/add", [variance, epsilon], depth)
        factor = builder.add("Rsqrt", f"{fold}/Rsqrt", [total], depth)
        products = ["mul_1", "mul"]
        if nodes[gamma.name].op == "Identity":  # a variable; else the ones of `scale: false`
            factor = builder.add("Mul", f"{fold}/{products.pop()}", [gamma, factor], depth)
        moved = builder.add("Mul", f"{fold}/{products.pop()}", [mean, factor], depth)
        bias = builder.add("Sub", f"{fold}/bias", [beta, moved], depth)
        weights = self._constant(conv.inputs[1])
        if conv.op == "DepthwiseConv2dNative":
            sides = builder.constant(
                _join(scope, "scale_reshape/shape"), np.array(weights.shape[2:], np.int32)
            )
            reshaped = _join(scope, "scale_reshape")
            factor = builder.add("Reshape", reshaped, [factor, sides], weights.shape[2:])
        scaled = builder.add("Mul", _join(scope, "mul_fold"), [weights, factor], weights.shape)
        image = Tensor(conv.inputs[0], ())
        folded = builder.add(conv.op, f"{conv.name}_Fold", [image, scaled], (), dict(conv.attrs))
        result = builder.add("Add", _join(scope, "add_fold"), [folded, bias], ())
        builder.drop(conv.name)
        builder.drop(norm.name)
        builder.redirect(norm.name, result.name)

    def _constant(self, name: str) -> Tensor:
        """A constant, or a variable as its reader sees it."""
        nodes = self._builder.by_name
        holder = nodes[name].inputs[0] if nodes[name].op == "Identity" else name
        value = nodes[holder].attrs["value"]
        assert isinstance(value, np.ndarray)
        return Tensor(name, value.shape)

    # --- FakeQuant -----------------------------------------------------------------------------

    def _quantize_layer(self, conv: Node, end: str) -> None:
        scope = conv.name.rpartition("/")[0]
        weights = self._fake_quant(conv.inputs[1], _join(scope, "weights_quant"), narrow=True)
        self._builder.redirect(conv.inputs[1], weights, only=conv.name)
        self._quantize_sums(self._builder.readers(self._quantize_result(end, _join(scope, _ACT))))

    def _quantize_sums(self, nodes: list[Node]) -> None:
        """Quantise what residual additions among `nodes` make, where that is not done yet."""
        for node in nodes:
            name = _join(node.name.rpartition("/")[0], "post_activation_bypass_quant")
            if self._is_residual(node) and f"{name}/{_FAKE_QUANT}" not in self._builder.by_name:
                self._quantize_result(node.name, name)

    def _quantize_result(self, name: str, scope: str) -> str:
        quantized = self._fake_quant(name, scope, narrow=False)
        self._builder.redirect(name, quantized, but=quantized)
        return quantized

    def _end_of_layer(self, name: str) -> str:
        """What a convolution, its bias and its activation make in the end."""
        for ops in ((*_SUMS, "BiasAdd"), _ACTIVATIONS):
            readers = self._builder.readers(name)
            if len(readers) == 1 and readers[0].op in ops and not self._is_residual(readers[0]):
                name = readers[0].name
        return name

    def _is_residual(self, node: Node) -> bool:
        """Whether `node` adds two layers, and not a constant or a bias to one."""
        if node.op not in _SUMS or node.name.endswith("/add_fold"):
            return False
        return not any(self._is_constant(name) for name in node.inputs)

    def _is_constant(self, name: str) -> bool:
        node = self._builder.by_name[name]
        return node.op == "Const" or name.endswith("/read")

    def _fake_quant(self, source: str, scope: str, *, narrow: bool) -> str:
        limits = [self._builder.variable(f"{scope}/{end}", (), trained=False) for end in _ENDS]
        attrs: dict[str, Attr] = {"num_bits": 8, "narrow_range": narrow}
        inputs = [Tensor(source, ()), *limits]
        return self._builder.add(_FAKE_QUANT, f"{scope}/{_FAKE_QUANT}", inputs, (), attrs).name


def _join(scope: str, name: str) -> str:
    return f"{scope}/{name}" if scope else name
