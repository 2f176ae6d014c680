"""SSD ResNet 101 V1 with a feature pyramid (RetinaNet), of TensorFlow 2."""

from flatshot.models.extractors._resnet import keras_fpn_extractor

EXTRACTOR = keras_fpn_extractor(101)
