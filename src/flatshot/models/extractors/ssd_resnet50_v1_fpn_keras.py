"""SSD ResNet 50 V1 with a feature pyramid (RetinaNet), of TensorFlow 2."""

from flatshot.models.extractors._resnet import keras_fpn_extractor

EXTRACTOR = keras_fpn_extractor(50)
