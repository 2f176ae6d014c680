"""Data sets, COCO figures, latency and the benchmark loop."""
