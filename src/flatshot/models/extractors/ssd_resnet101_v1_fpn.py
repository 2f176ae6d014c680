"""SSD ResNet 101 V1 with a feature pyramid (RetinaNet)."""

from flatshot.models.extractors._resnet import fpn_extractor

EXTRACTOR = fpn_extractor(101)
