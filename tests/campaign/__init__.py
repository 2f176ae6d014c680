"""Hostile inputs by the hundred thousand: see `__main__` for how to run it."""
