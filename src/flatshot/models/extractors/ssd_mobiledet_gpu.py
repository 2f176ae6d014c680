"""SSDLite MobileDet for GPUs."""

from flatshot.models.backbones.mobiledet import GPU
from flatshot.models.extractors._mobiledet import mobiledet_extractor

EXTRACTOR = mobiledet_extractor(GPU)
