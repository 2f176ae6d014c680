"""EfficientDet on EfficientNet B2."""

from flatshot.models.extractors._efficientdet import efficientdet

EXTRACTOR = efficientdet(2)
