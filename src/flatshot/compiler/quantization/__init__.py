"""Real numbers to integers: ranges that training or calibration found, and what follows from them.

The compiler runs nothing: ranges come in as data, in a graph's FakeQuant nodes or from calibration.
"""
