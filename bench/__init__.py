"""Benchmarks: tables of ratios, each measured in one run against a named baseline."""
