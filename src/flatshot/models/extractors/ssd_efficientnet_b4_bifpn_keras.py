"""EfficientDet on EfficientNet B4."""

from flatshot.models.extractors._efficientdet import efficientdet

EXTRACTOR = efficientdet(4)
