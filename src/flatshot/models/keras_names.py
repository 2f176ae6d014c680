"""What TensorFlow 2 calls the variables that networks here ask for under TensorFlow 1's names.

One piece of code builds a network for both, under the names of TF-Slim
(`FeatureExtractor/MobilenetV2/expanded_conv_3/expand/weights`). Keras has others for the same
layers (`block_3_expand/kernel`): those are the full names in a checkpoint's object graph, and
unlike the paths that are its keys they say which layer it is, whatever else the network has.

Sources: `keras.applications.{mobilenet,mobilenet_v2,resnet}`, of the Object Detection API
`models/feature_map_generators.py`, `models/bidirectional_feature_pyramid_generators.py`,
`predictors/heads/keras_*.py`.
"""

import re
from collections.abc import Iterator

from flatshot.errors import ConfigError, UnsupportedError
from flatshot.formats.checkpoint import Checkpoint
from flatshot.formats.graphdef import Array
from flatshot.formats.object_graph import load_object_graph

AVERAGE = "average"
_AVERAGED = "/ExponentialMovingAverage"
_LEAVES = {
    "weights": "kernel",
    "depthwise_weights": "depthwise_kernel",
    "pointwise_weights": "pointwise_kernel",
    "biases": "bias",
}
_NET = r"FeatureExtractor/\w+"
_SHARED = r"WeightSharedConvolutionalBoxPredictor"
_UNIT = r"unit_(\d+)/bottleneck_v1"
# A layer's scope in TensorFlow 1; in Keras the layer's name and that of its batch norm. `{kind}`
# is `_conv` or `_depthwise_conv`, as the layer is; layers without a norm have no name for it.
_RULES = (
    (r"FeatureExtractor/MobilenetV1/Conv2d_0", r"conv1", r"conv1_bn"),
    (r"FeatureExtractor/MobilenetV1/Conv2d_(\d+)_depthwise", r"conv_dw_\1", r"conv_dw_\1_bn"),
    (r"FeatureExtractor/MobilenetV1/Conv2d_(\d+)_pointwise", r"conv_pw_\1", r"conv_pw_\1_bn"),
    (r"FeatureExtractor/MobilenetV2/Conv", r"Conv1", r"bn_Conv1"),
    (r"FeatureExtractor/MobilenetV2/Conv_1", r"Conv_1", r"Conv_1_bn"),
    (
        r"FeatureExtractor/MobilenetV2/expanded_conv/(\w+)",
        r"expanded_conv_\1",
        r"expanded_conv_\1_BN",
    ),
    (r"FeatureExtractor/MobilenetV2/expanded_conv_(\d+)/(\w+)", r"block_\1_\2", r"block_\1_\2_BN"),
    (r"FeatureExtractor/resnet_v1_\d+/conv1", r"conv1_conv", r"conv1_bn"),
    *(
        (
            rf"FeatureExtractor/resnet_v1_\d+/block{block}/{_UNIT}/{layer}",
            rf"conv{block + 1}_block\1_{number}_conv",
            rf"conv{block + 1}_block\1_{number}_bn",
        )
        for block in (1, 2, 3, 4)
        for number, layer in enumerate(("shortcut", "conv1", "conv2", "conv3"))
    ),
    (r"EfficientNet/(.+)", r"\1_conv2d", r"\1_bn"),
    (r"BiFPN/(.+/1x1_pre_sample)", r"bifpn/\1/conv", r"bifpn/\1/batchnorm"),
    (r"BiFPN/(.+/post_combine)", r"bifpn/\1/separable_conv", r"bifpn/\1/batchnorm"),
    (r"BiFPN/(.+/combine)", r"bifpn/\1", r""),
    (rf"{_NET}/fpn/(projection_\d+)", r"FeatureMaps/top_down/\1", r""),
    (
        rf"{_NET}/fpn/(smoothing_\d+)",
        r"FeatureMaps/top_down/\1{kind}",
        r"FeatureMaps/top_down/\1_batchnorm",
    ),
    (rf"{_NET}/fpn/(bottom_up_\w+)", r"\1{kind}", r"\1_batchnorm"),
    (rf"{_NET}/(\w+_Conv2d_\d+_\w+)", r"FeatureMaps/\1{kind}", r"FeatureMaps/\1_batchnorm"),
    (
        r"BoxPredictor_(\d+)/(BoxEncodingPredictor\w*)",
        r"BoxPredictor/ConvolutionalBoxHead_\1/\2",
        r"BoxPredictor/ConvolutionalBoxHead_\1/\2_batchnorm",
    ),
    (
        r"BoxPredictor_(\d+)/(ClassPredictor\w*)",
        r"BoxPredictor/ConvolutionalClassHead_\1/\2",
        r"BoxPredictor/ConvolutionalClassHead_\1/\2_batchnorm",
    ),
    (
        r"BoxPredictor_(\d+)/(Conv2d_\w+)",
        r"BoxPredictor/SharedConvolutions_\1/\2",
        r"BoxPredictor/SharedConvolutions_\1/\2_norm",
    ),
    (rf"({_SHARED})/(Box)Predictor", r"\1/WeightSharedConvolutional\2Head/\2Predictor", r""),
    (rf"({_SHARED})/(Class)Predictor", r"\1/WeightSharedConvolutional\2Head/\2Predictor", r""),
    (rf"({_SHARED}/\w+/\w+)", r"\1", r"\1/BatchNorm"),
)
_PATTERNS = [(re.compile(scope), layer, norm) for scope, layer, norm in _RULES]
# The convolutional head of the only feature map there is, which TensorFlow 1 does not number.
_ONLY_HEAD = re.compile(r"(BoxEncodingPredictor|ClassPredictor|Conv2d_\d+_1x1_)")


def full_name(name: str) -> str:
    """The full name in Keras of the variable that TensorFlow 1 calls `name`.

    Of names that a checkpoint's extractor has a scope of its own for, the scope is left out; see
    `KerasVariables`. The moving average of a variable ends in `/average`.

    Raises:
        ConfigError: no network of TensorFlow 2 has a variable of this name.
    """
    if name.endswith(_AVERAGED):
        return f"{full_name(name.removesuffix(_AVERAGED))}/{AVERAGE}"
    scope, _, leaf = name.rpartition("/")
    scope, norm, feature = scope.partition("/BatchNorm")
    if _ONLY_HEAD.match(scope):
        scope = f"BoxPredictor_0/{scope}"
    for pattern, layer_name, norm_name in _PATTERNS:
        found = pattern.fullmatch(scope)
        if found:
            text = found.expand(norm_name if norm else layer_name)
            return f"{text.format(kind=_kind(scope, leaf))}{feature}/{_LEAVES.get(leaf, leaf)}"
    raise ConfigError(f"no network of TensorFlow 2 has a variable {name!r}")


def _kind(scope: str, leaf: str) -> str:
    """How Keras ends the name of an added layer. Separable convolutions are of the second kind."""
    separable = leaf in ("depthwise_weights", "pointwise_weights")
    return "_depthwise_conv" if separable and not scope.endswith("_depthwise") else "_conv"


class KerasVariables:
    """The variables of an object-based checkpoint, by the names that `full_name` gives.

    Args:
        checkpoint: the values.

    Raises:
        FormatError: its object graph is damaged.
        UnsupportedError: it has none.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        graph = load_object_graph(checkpoint)
        if graph is None:
            raise UnsupportedError(
                f"{checkpoint.prefix}.index: a checkpoint of TensorFlow 2 without its object graph"
            )
        self._checkpoint = checkpoint
        averages = graph.slots.get(AVERAGE, {})
        self._keys: dict[str, str] = {}
        for name, key in graph.keys.items():
            if key not in checkpoint:
                continue
            short = _without_scope(name, key)
            self._keys[short] = key
            if averages.get(key) in checkpoint:
                self._keys[f"{short}/{AVERAGE}"] = averages[key]

    def __contains__(self, name: object) -> bool:
        return name in self._keys

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def read(self, name: str) -> Array:
        """The value of a variable that is there."""
        return self._checkpoint.read(self._keys[name])


# The attributes of the feature extractor under which Keras' own networks lie.
_BACKBONES = ("classification_backbone", "_efficientnet")


def _without_scope(name: str, key: str) -> str:
    """`name` without the extractor's scope, which differs between versions and processes.

    Layers of the backbone have none, nor have the heads.
    """
    path = key.split("/")
    if path[1:2] != ["_feature_extractor"] or path[2] in _BACKBONES:
        return name
    return name.partition("/")[2]
