"""Bytes <-> typed values: every file format that Flatshot reads or writes, and nothing else."""
