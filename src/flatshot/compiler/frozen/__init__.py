"""Any frozen single-shot detector -> the graph that `flatshot.export` would have given."""
