"""MobileNet V1: depthwise separable convolutions.

TensorFlow 1 has it in Slim and TensorFlow 2 in Keras. Sources: Howard et al. 2017, arXiv
1704.04861, table 1; `slim/nets/mobilenet_v1.py`; `keras/applications/mobilenet.py` under
`object_detection/models/keras_models/mobilenet_v1.py`.
"""

from collections.abc import Sequence

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.config.extractor import FeatureExtractorConfig
from flatshot.models.config.hyperparams import BatchNorm, Hyperparams
from flatshot.models.depths import scaled_depth
from flatshot.models.layers import conv2d, depthwise_conv2d, pad, pad_to_multiple, padding_of

SCOPE = "FeatureExtractor/MobilenetV1"
# Slim opens the scope of the variables and that of the operations one inside the other.
OPERATIONS = f"{SCOPE}/MobilenetV1"
# Of `mobilenet_v1_arg_scope`; the config's own replace them where it says so.
BASE = Hyperparams(BatchNorm(epsilon=0.001, scale=True, center=True), "RELU_6")
# The stride of layers 1 to 13, each a depthwise 3x3 and a pointwise 1x1.
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1)
# The channels of layers 0 to 13 before they are scaled.
DEPTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
# With a feature pyramid and `use_depthwise` the last two layers are narrow.
NARROW_DEPTHS = (*DEPTHS[:-2], 512, 256)


def slim_widths(config: FeatureExtractorConfig, depths: Sequence[int] = DEPTHS) -> list[int]:
    """The numbers of channels in TensorFlow 1."""
    scale = scaled_depth(config)
    return [scale(depth) for depth in depths]


def keras_widths(config: FeatureExtractorConfig, depths: Sequence[int] = DEPTHS) -> list[int]:
    """The numbers of channels in TensorFlow 2.

    There Keras multiplies, and what wraps it does so again; where it puts another depth in the
    place of Keras', it is multiplied only once.
    """
    scale = scaled_depth(config)
    return [
        scale(int(depth * config.depth_multiplier) if depth == own else depth)
        for depth, own in zip(depths, DEPTHS, strict=True)
    ]


def mobilenet_v1(
    builder: GraphBuilder,
    image: Tensor,
    config: FeatureExtractorConfig,
    *,
    widths: Sequence[int] | None = None,
    hyperparams: Hyperparams | None = None,
) -> dict[str, Tensor]:
    """The layers `Conv2d_0` and `Conv2d_1_pointwise` to `Conv2d_13_pointwise` of `image`.

    Args:
        builder: the graph to add to.
        image: (1, height, width, channels).
        config: the extractor's section.
        widths: the numbers of channels of layers 0 to 13; if not given, Slim's.
        hyperparams: what follows convolutions; if not given, as the configuration says.
    """
    if hyperparams is None:
        hyperparams = config.hyperparams if config.override_base_hyperparams else BASE
    explicit = config.use_explicit_padding
    padding = padding_of(explicit=explicit)
    first, *rest = widths or slim_widths(config)

    def padded(net: Tensor) -> Tensor:
        return pad(builder, net, 3, OPERATIONS) if explicit else net

    net = padded(pad_to_multiple(builder, image, config.pad_to_multiple, SCOPE))
    net = conv2d(
        *(builder, net, first, 3, 2, f"{OPERATIONS}/Conv2d_0", hyperparams),
        variable_scope=f"{SCOPE}/Conv2d_0",
        padding=padding,
    )
    layers = {"Conv2d_0": net}
    for number, (stride, depth) in enumerate(zip(STRIDES, rest, strict=True), start=1):
        name = f"Conv2d_{number}_depthwise"
        net = depthwise_conv2d(
            *(builder, padded(net), 3, stride, f"{OPERATIONS}/{name}", hyperparams),
            variable_scope=f"{SCOPE}/{name}",
            padding=padding,
        )
        name = f"Conv2d_{number}_pointwise"
        net = conv2d(
            *(builder, net, depth, 1, 1, f"{OPERATIONS}/{name}", hyperparams),
            variable_scope=f"{SCOPE}/{name}",
            padding=padding,
        )
        layers[name] = net
    return layers
