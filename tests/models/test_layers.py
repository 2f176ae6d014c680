"""Convolutions with what follows them, named as TF-Slim names them."""

import numpy as np
import pytest

from flatshot.formats.graphdef import Graph
from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.hyperparams import Activation, BatchNorm, Hyperparams
from flatshot.models.layers import LINEAR, conv2d, depthwise_conv2d, pad_to_multiple
from tests.models.configs import reads, shape, value, variables

NORMAL = Hyperparams(BatchNorm(0.01, scale=True, center=True), "RELU_6")


def _conv(
    hyperparams: Hyperparams, *, depthwise: bool = False, variable_scope: str | None = None
) -> tuple[Tensor, Graph]:
    builder = GraphBuilder(None)
    image = builder.placeholder("image", (1, 7, 10, 5))
    if depthwise:
        made = depthwise_conv2d(
            builder, image, 3, 2, "s", hyperparams, variable_scope=variable_scope
        )
    else:
        made = conv2d(builder, image, 4, 3, 2, "s", hyperparams, variable_scope=variable_scope)
    return made, builder.finish([made.name])


def test_convolution_batch_norm_activation() -> None:
    """The usual three, and the five variables."""
    made, graph = _conv(NORMAL)
    assert made == Tensor("s/Relu6", (1, 4, 5, 4))
    assert variables(graph) == {
        "s/weights": (3, 3, 5, 4),
        **{f"s/BatchNorm/{n}": (4,) for n in ("gamma", "beta", "moving_mean", "moving_variance")},
    }
    conv = graph.by_name["s/Conv2D"]
    assert conv.attrs["strides"] == [1, 2, 2, 1]
    assert conv.attrs["padding"] == b"SAME"
    norm = graph.by_name["s/BatchNorm/FusedBatchNormV3"]
    assert norm.inputs == (
        "s/Conv2D",
        "s/BatchNorm/gamma/read",
        "s/BatchNorm/beta/read",
        "s/BatchNorm/moving_mean/read",
        "s/BatchNorm/moving_variance/read",
    )
    assert norm.attrs["epsilon"] == 0.01
    assert norm.attrs["is_training"] is False


def test_depthwise() -> None:
    """A filter for each channel, whose number stays."""
    made, graph = _conv(NORMAL, depthwise=True)
    assert made.shape == (1, 4, 5, 5)
    assert shape(graph, "s/depthwise_weights") == (3, 3, 5, 1)
    assert graph.by_name["s/depthwise"].op == "DepthwiseConv2dNative"


@pytest.mark.parametrize("depthwise", [False, True])
def test_without_batch_norm_there_is_a_bias(depthwise: bool) -> None:
    """And without activation nothing after it."""
    made, graph = _conv(LINEAR, depthwise=depthwise)
    assert made.name == "s/BiasAdd"
    assert shape(graph, "s/biases") == (5 if depthwise else 4,)
    assert not any("BatchNorm" in node.name for node in graph)


@pytest.mark.parametrize(
    ("activation", "last"),
    [("RELU", "s/Relu"), ("RELU_6", "s/Relu6"), ("NONE", "s/BatchNorm/FusedBatchNormV3")],
)
def test_activations(activation: Activation, last: str) -> None:
    """Each is the operator of its name; NONE leaves the batch norm last."""
    made, _ = _conv(Hyperparams(BatchNorm(), activation))
    assert made.name == last


def test_batch_norm_without_gamma_or_beta() -> None:
    """Constants of ones and zeros stand in, as in TF-Slim; there is no such variable."""
    _, graph = _conv(Hyperparams(BatchNorm(scale=False, center=False), "NONE"))
    assert set(variables(graph)) == {
        "s/weights",
        "s/BatchNorm/moving_mean",
        "s/BatchNorm/moving_variance",
    }
    _, gamma, beta, *_ = reads(graph, "s/BatchNorm/FusedBatchNormV3")
    assert value(graph, gamma.name).tolist() == [1, 1, 1, 1]
    assert value(graph, beta.name).tolist() == [0, 0, 0, 0]
    assert value(graph, gamma.name).dtype == np.float32


@pytest.mark.parametrize("depthwise", [False, True])
def test_variables_under_another_scope(depthwise: bool) -> None:
    """Operations are under one scope, variables under the other."""
    _, graph = _conv(NORMAL, depthwise=depthwise, variable_scope="v")
    assert all(name.startswith("v/") for name in variables(graph))
    assert {node.name for node in graph if node.op == "Relu6"} == {"s/Relu6"}


@pytest.mark.parametrize(("side", "op"), [(299, "Const"), (500, "Fill")])
def test_padding_the_image(side: int, op: str) -> None:
    """Below, then to the right; few zeros are kept, many are computed, as TensorFlow does."""
    builder = GraphBuilder(None)
    image = builder.placeholder("image", (1, side, side, 3))
    padded = pad_to_multiple(builder, image, 300 if side == 299 else 504, "s")
    graph = builder.finish([padded.name])
    assert padded.shape[1:3] == ((300, 300) if side == 299 else (504, 504))
    assert [graph.by_name[name].op for name in ("s/zeros", "s/zeros_1")] == [op, op]
    assert [reads(graph, name)[0].name for name in ("s/concat", "s/concat_1")] == [
        "image",
        "s/concat",
    ]
    assert pad_to_multiple(builder, padded, padded.shape[1], "s") is padded
