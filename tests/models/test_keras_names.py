"""Names of TensorFlow 1 and what Keras calls the same variables."""

import pytest

from flatshot.errors import ConfigError
from flatshot.models.keras_names import full_name

V2 = "FeatureExtractor/MobilenetV2"
SHARED = "WeightSharedConvolutionalBoxPredictor"


@pytest.mark.parametrize(
    ("name", "keras"),
    [
        ("FeatureExtractor/MobilenetV1/Conv2d_0/weights", "conv1/kernel"),
        (
            "FeatureExtractor/MobilenetV1/Conv2d_3_depthwise/depthwise_weights",
            "conv_dw_3/depthwise_kernel",
        ),
        (
            "FeatureExtractor/MobilenetV1/Conv2d_13_pointwise/BatchNorm/gamma",
            "conv_pw_13_bn/gamma",
        ),
        (f"{V2}/Conv/BatchNorm/moving_mean", "bn_Conv1/moving_mean"),
        (f"{V2}/Conv_1/BatchNorm/beta", "Conv_1_bn/beta"),
        (f"{V2}/expanded_conv/project/weights", "expanded_conv_project/kernel"),
        (f"{V2}/expanded_conv_16/expand/BatchNorm/beta", "block_16_expand_BN/beta"),
        (
            "FeatureExtractor/resnet_v1_101/block3/unit_23/bottleneck_v1/shortcut/weights",
            "conv4_block23_0_conv/kernel",
        ),
        (
            "FeatureExtractor/resnet_v1_50/block1/unit_1/bottleneck_v1/conv3/BatchNorm/beta",
            "conv2_block1_3_bn/beta",
        ),
        (f"{V2}/fpn/projection_3/biases", "FeatureMaps/top_down/projection_3/bias"),
        (f"{V2}/fpn/smoothing_1/weights", "FeatureMaps/top_down/smoothing_1_conv/kernel"),
        (
            f"{V2}/fpn/smoothing_1/pointwise_weights",
            "FeatureMaps/top_down/smoothing_1_depthwise_conv/pointwise_kernel",
        ),
        (
            f"{V2}/fpn/bottom_up_Conv2d_20/BatchNorm/gamma/ExponentialMovingAverage",
            "bottom_up_Conv2d_20_batchnorm/gamma/average",
        ),
        (
            f"{V2}/layer_19_2_Conv2d_2_3x3_s2_512_depthwise/depthwise_weights",
            "FeatureMaps/layer_19_2_Conv2d_2_3x3_s2_512_depthwise_conv/depthwise_kernel",
        ),
        (
            f"{V2}/layer_19_2_Conv2d_2_3x3_s2_512_depthwise/BatchNorm/beta",
            "FeatureMaps/layer_19_2_Conv2d_2_3x3_s2_512_depthwise_batchnorm/beta",
        ),
        (
            f"{V2}/layer_19_2_Conv2d_2_3x3_s2_512/weights",
            "FeatureMaps/layer_19_2_Conv2d_2_3x3_s2_512_conv/kernel",
        ),
        (
            "BoxPredictor_4/BoxEncodingPredictor/biases",
            "BoxPredictor/ConvolutionalBoxHead_4/BoxEncodingPredictor/bias",
        ),
        (
            "ClassPredictor_depthwise/BatchNorm/beta",
            "BoxPredictor/ConvolutionalClassHead_0/ClassPredictor_depthwise_batchnorm/beta",
        ),
        (
            "BoxPredictor_0/Conv2d_1_1x1_64/BatchNorm/gamma",
            "BoxPredictor/SharedConvolutions_0/Conv2d_1_1x1_64_norm/gamma",
        ),
        (
            f"{SHARED}/ClassPredictor/pointwise_weights",
            f"{SHARED}/WeightSharedConvolutionalClassHead/ClassPredictor/pointwise_kernel",
        ),
        (f"{SHARED}/PredictionTower/conv2d_1/biases", f"{SHARED}/PredictionTower/conv2d_1/bias"),
        (
            f"{SHARED}/BoxPredictionTower/conv2d_0/BatchNorm/feature_2/beta",
            f"{SHARED}/BoxPredictionTower/conv2d_0/BatchNorm/feature_2/beta",
        ),
    ],
)
def test_each_layer_has_its_name_in_keras(name: str, keras: str) -> None:
    """Of every network, neck and head that both TensorFlows have."""
    assert full_name(name) == keras


def test_a_layer_that_only_tensorflow_1_has_is_an_error() -> None:
    """And not a variable that the checkpoint seems to lack."""
    with pytest.raises(ConfigError, match="no network of TensorFlow 2 has a variable"):
        full_name("FeatureExtractor/MobilenetV3/Conv/weights")
