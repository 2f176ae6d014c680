"""Backbones: classification networks without their end, one file each.

A backbone's function gives its layers by the names that its paper's code has for them; an extractor
taps it at some of them.
"""
