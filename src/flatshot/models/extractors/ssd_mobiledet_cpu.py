"""SSDLite MobileDet for CPUs."""

from flatshot.models.backbones.mobiledet import CPU
from flatshot.models.extractors._mobiledet import mobiledet_extractor

EXTRACTOR = mobiledet_extractor(CPU)
