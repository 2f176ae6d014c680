"""EfficientDet on EfficientNet B1."""

from flatshot.models.extractors._efficientdet import efficientdet

EXTRACTOR = efficientdet(1)
