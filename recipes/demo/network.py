"""The network of Flatshot's export as a PyTorch module, read off the exported graph itself.

Nothing of the architecture is written down here a second time: the nodes of `build_graph` say what
is computed, from which variables, and in what order. Only what training needs is added: gradients,
batch statistics, and initial values.
"""

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from flatshot.formats.checkpoint import Checkpoint
from flatshot.formats.graphdef import Graph, Node
from flatshot.models.detection_config import DetectionConfig
from flatshot.models.export import build_graph

# Where the graph's raw predictions are, before codes are decoded and logits squashed.
BOXES, LOGITS = "Squeeze", "concat_1"
# What a class predictor says before it has learned anything (Lin et al. 2017, arXiv 1708.02002).
PRIOR = 0.01
# The share of a batch's statistics in the moving ones.
MOMENTUM = 0.1


class Network(nn.Module):
    """The detector of a configuration, up to box codes and class logits.

    Parameters and buffers bear the names of TensorFlow's variables with `/` written as `:`, and
    PyTorch's order of dimensions; `variables` gives them back as TensorFlow has them.
    """

    def __init__(self, config: DetectionConfig) -> None:
        """Build the network and give every variable its first value."""
        super().__init__()
        self.graph: Graph = build_graph(config, None)
        self.anchors = torch.from_numpy(self._constant("anchors").copy())
        self.steps = [node for node in self._needed() if node.op in _STEPS]
        for node in self.steps:
            for name in map(self._variable, node.inputs[1:]):
                if name:
                    self._register(name)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Box codes (n, anchors, 4) and class logits (n, anchors, slots) of NCHW images."""
        values: dict[str, Tensor] = {self._placeholder(): images}
        for node in self.steps:
            values[node.name] = _STEPS[node.op](self, node, values)
        return values[BOXES], values[LOGITS]

    def variables(self) -> dict[str, np.ndarray]:
        """The variables by TensorFlow's names, in TensorFlow's order of dimensions."""
        found = {}
        for key, value in self.state_dict().items():
            value = value.detach()
            if value.ndim == 4:
                # OIHW to HWIO; depthwise (channels, 1, h, w) to (h, w, channels, 1).
                depthwise = key.endswith("depthwise_weights")
                value = value.permute(2, 3, 0, 1) if depthwise else value.permute(2, 3, 1, 0)
            found[key.replace(":", "/")] = value.contiguous().numpy().copy()
        return found

    def restore(self, variables: Checkpoint) -> None:
        """Take over the values of a checkpoint, the inverse of `variables`."""
        state = {}
        for key in self.state_dict():
            value = torch.from_numpy(variables.read(key.replace(":", "/")).copy())
            if value.ndim == 4:
                depthwise = key.endswith("depthwise_weights")
                value = value.permute(2, 3, 0, 1) if depthwise else value.permute(3, 2, 0, 1)
            state[key] = value
        self.load_state_dict(state)

    def value(self, reference: str) -> Tensor:
        """The variable that the node input `reference` reads."""
        return self.get_parameter_or_buffer(self._variable(reference).replace("/", ":"))

    def get_parameter_or_buffer(self, key: str) -> Tensor:
        """The parameter or buffer of this name."""
        return self._parameters[key] if key in self._parameters else self._buffers[key]

    def _needed(self) -> list[Node]:
        needed, kept = {BOXES, LOGITS}, []
        for node in reversed(self.graph.nodes):
            if node.name in needed:
                kept.append(node)
                needed.update(node.inputs)
        return kept[::-1]

    def _placeholder(self) -> str:
        return next(node.name for node in self.graph if node.op == "Placeholder")

    def _constant(self, name: str) -> np.ndarray:
        value = self.graph.by_name[name].attrs["value"]
        assert isinstance(value, np.ndarray)
        return value

    def _variable(self, reference: str) -> str:
        """The variable behind `<name>/read`, or nothing where the input is no variable."""
        return reference.removesuffix("/read") if reference.endswith("/read") else ""

    def _register(self, name: str) -> None:
        key, shape = name.replace("/", ":"), self._constant(name).shape
        kind = name.rpartition("/")[2]
        if kind in ("moving_mean", "moving_variance"):
            first = torch.zeros(shape) if kind == "moving_mean" else torch.ones(shape)
            self.register_buffer(key, first)
        else:
            self.register_parameter(key, nn.Parameter(_first_value(name, kind, shape)))


def _first_value(name: str, kind: str, shape: tuple[int, ...]) -> Tensor:
    if kind == "depthwise_weights":
        height, width, channels, _ = shape
        return torch.randn(channels, 1, height, width) * math.sqrt(2 / (height * width))
    if kind == "weights":
        height, width, inputs, outputs = shape
        scale = math.sqrt(2 / (height * width * inputs))  # He et al. 2015, arXiv 1502.01852
        if "Predictor" in name:
            scale = 0.01
        return (torch.randn(outputs, inputs, height, width) * scale).contiguous(
            memory_format=torch.channels_last
        )
    if kind == "biases" and "ClassPredictor" in name:
        return torch.full(shape, -math.log((1 - PRIOR) / PRIOR))
    return torch.ones(shape) if kind == "gamma" else torch.zeros(shape)


def _convolve(network: Network, node: Node, values: dict[str, Tensor]) -> Tensor:
    """A convolution with TensorFlow's SAME padding: the odd pixel goes below and to the right."""
    image, weights = values[node.inputs[0]], network.value(node.inputs[1])
    stride = int(node.attrs["strides"][1])  # type: ignore[index]
    top, bottom = _same(image.shape[2], weights.shape[2], stride)
    left, right = _same(image.shape[3], weights.shape[3], stride)
    if (top, left) != (bottom, right):
        image = functional.pad(image, (left, right, top, bottom))
        top = left = 0
    groups = image.shape[1] if node.op.startswith("Depthwise") else 1
    return functional.conv2d(image, weights, None, stride, (top, left), 1, groups)


def _same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    total = max((math.ceil(size / stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _normalise(network: Network, node: Node, values: dict[str, Tensor]) -> Tensor:
    gamma, beta, mean, variance = (network.value(name) for name in node.inputs[1:])
    epsilon = float(node.attrs["epsilon"])  # type: ignore[arg-type]
    image = values[node.inputs[0]]
    return functional.batch_norm(
        image, mean, variance, gamma, beta, network.training, MOMENTUM, epsilon
    )


def _add_bias(network: Network, node: Node, values: dict[str, Tensor]) -> Tensor:
    return values[node.inputs[0]] + network.value(node.inputs[1])[:, None, None]


def _activate(network: Network, node: Node, values: dict[str, Tensor]) -> Tensor:
    return functional.relu6(values[node.inputs[0]], inplace=True)


def _reshape(network: Network, node: Node, values: dict[str, Tensor]) -> Tensor:
    image = values[node.inputs[0]]
    shape = [int(size) for size in network._constant(node.inputs[1])]
    return image.permute(0, 2, 3, 1).reshape(image.shape[0], *shape[1:])


def _join(network: Network, node: Node, values: dict[str, Tensor]) -> Tensor:
    return torch.cat([values[name] for name in node.inputs[:-1]], 1)


def _squeeze(network: Network, node: Node, values: dict[str, Tensor]) -> Tensor:
    return values[node.inputs[0]].squeeze(2)


_STEPS = {
    "Conv2D": _convolve,
    "DepthwiseConv2dNative": _convolve,
    "FusedBatchNormV3": _normalise,
    "BiasAdd": _add_bias,
    "Relu6": _activate,
    "Reshape": _reshape,
    "ConcatV2": _join,
    "Squeeze": _squeeze,
}
