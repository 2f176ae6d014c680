"""Runs of runs: the rows of the original's tables, and sweeps over settings."""
