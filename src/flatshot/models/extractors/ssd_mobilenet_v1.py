"""SSD MobileNet V1: depthwise separable convolutions, tapped at layers 11 and 13.

Sources: Howard et al. 2017, arXiv 1704.04861, table 1; `slim/nets/mobilenet_v1.py`;
`object_detection/models/ssd_mobilenet_v1_feature_extractor.py`.
"""

from flatshot.models.builder import GraphBuilder, Tensor
from flatshot.models.detection_config import BatchNorm, FeatureExtractorConfig, Hyperparams
from flatshot.models.feature_maps import extend, scaled_depth
from flatshot.models.layers import conv2d, depthwise_conv2d

SCOPE = "FeatureExtractor/MobilenetV1"
# (stride, depth) of layers 1 to 13, each a depthwise 3x3 and a pointwise 1x1.
SEPARABLE = (
    (1, 64),
    (2, 128),
    (1, 128),
    (2, 256),
    (1, 256),
    (2, 512),
    *((1, 512),) * 5,
    (2, 1024),
    (1, 1024),
)
TAPS = (11, 13)
# Of `mobilenet_v1_arg_scope`; the config's own replace them where it says so.
BASE = Hyperparams(BatchNorm(epsilon=0.001, scale=True, center=True), "RELU_6")


def extract(builder: GraphBuilder, image: Tensor, config: FeatureExtractorConfig) -> list[Tensor]:
    """The feature maps of `image` (1, height, width, channels), finest first."""
    hyperparams = config.hyperparams if config.override_base_hyperparams else BASE
    scale = scaled_depth(config)
    # Slim opens the scope of the variables and that of the operations one inside the other.
    operations = f"{SCOPE}/MobilenetV1"

    def scopes(layer: str) -> tuple[str, str]:
        return f"{operations}/{layer}", f"{SCOPE}/{layer}"

    scope, variables = scopes("Conv2d_0")
    net = conv2d(builder, image, scale(32), 3, 2, scope, hyperparams, variable_scope=variables)
    taps = []
    for number, (stride, depth) in enumerate(SEPARABLE, start=1):
        scope, variables = scopes(f"Conv2d_{number}_depthwise")
        net = depthwise_conv2d(
            builder, net, 3, stride, scope, hyperparams, variable_scope=variables
        )
        scope, variables = scopes(f"Conv2d_{number}_pointwise")
        net = conv2d(builder, net, scale(depth), 1, 1, scope, hyperparams, variable_scope=variables)
        if number in TAPS:
            taps.append(net)
        if len(taps) == config.num_layers:
            break
    return extend(builder, taps, config, SCOPE, "Conv2d_13_pointwise")
