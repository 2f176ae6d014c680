"""A page on this machine to try detectors on: drop a photograph, move a slider, see."""
