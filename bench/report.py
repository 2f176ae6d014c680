"""The rows of the tables: what, the ratio, what it should be, the figures behind it."""

from flatshot.evaluation.machine import cores, machine


def header(title: str) -> None:
    """Print the head of a table."""
    print(f"\n{title}\non {machine()['processor']}, {cores()} cores")
    print(f"{'':62}{'ratio':>8}  should be")


def row(name: str, ratio: float, target: str, detail: str) -> None:
    """Print a row: `ratio` against the baseline that `name` names, and what it should be."""
    print(f"{name:62}{ratio:8.3f}  {target:12}({detail})", flush=True)
