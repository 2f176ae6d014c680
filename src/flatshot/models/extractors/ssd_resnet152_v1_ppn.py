"""SSD ResNet 152 V1 with a pooling pyramid."""

from flatshot.models.extractors._resnet import ppn_extractor

EXTRACTOR = ppn_extractor(152)
