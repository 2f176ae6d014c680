"""A detector that needs no download, to try the road on."""
