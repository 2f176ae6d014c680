"""EfficientDet on EfficientNet B6."""

from flatshot.models.extractors._efficientdet import efficientdet

EXTRACTOR = efficientdet(6)
