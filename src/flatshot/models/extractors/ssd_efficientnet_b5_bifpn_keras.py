"""EfficientDet on EfficientNet B5."""

from flatshot.models.extractors._efficientdet import efficientdet

EXTRACTOR = efficientdet(5)
