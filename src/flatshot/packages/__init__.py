"""Packages: models, data sets and labels, found by tags, fetched once and trusted by their hash."""
