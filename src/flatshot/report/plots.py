"""Charts as plain shapes: marks in a box of 1000 x 1000, text beside them in per cent.

The marks are SVG stretched to whatever size the page gives them; the text is HTML, so that it
keeps its own size on a phone and on paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Range = tuple[float, float]
UNIT: Range = (0.0, 1.0)


@dataclass(frozen=True)
class Mark:
    """One SVG path, and the class that colours it."""

    path: str
    css: str


@dataclass(frozen=True)
class Label:
    """A word on a chart: where, in per cent, and how it is shifted from there (CSS)."""

    text: str
    left: float
    top: float
    shift: str
    css: str = ""


@dataclass(frozen=True)
class Tick:
    """A number on an axis: where, in per cent of it."""

    text: str
    place: float


@dataclass
class Plot:
    """A chart, built mark by mark.

    Attributes:
        finding: what the chart shows, in words, for those who do not see it.
        x, y: the ranges of the axes.
        x_title, y_title: what they count.
    """

    finding: str
    x: Range = UNIT
    y: Range = UNIT
    x_title: str = ""
    y_title: str = ""
    marks: list[Mark] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    x_ticks: list[Tick] = field(default_factory=list)
    y_ticks: list[Tick] = field(default_factory=list)

    def across(self, value: float) -> float:
        """Where `value` lies on the x axis, 0 to 1000."""
        return 1000 * (value - self.x[0]) / (self.x[1] - self.x[0])

    def down(self, value: float) -> float:
        """Where `value` lies on the y axis, 0 (top) to 1000."""
        return 1000 - 1000 * (value - self.y[0]) / (self.y[1] - self.y[0])

    def axes(self, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> None:
        """Grid lines at `y_ticks`, numbers at both."""
        for value in y_ticks:
            css = "ax" if value == self.y[0] else "g"
            self.marks.append(Mark(f"M0 {_short(self.down(value))}H1000", css))
        self.x_ticks += [Tick(tick_text(v), self.across(v) / 10) for v in x_ticks]
        self.y_ticks += [Tick(tick_text(v), self.down(v) / 10) for v in y_ticks]

    def line(self, xs: npt.ArrayLike, ys: npt.ArrayLike, css: str) -> None:
        """A line through points; those that do not change its shape are left out."""
        self.marks.append(Mark(polyline(self, xs, ys), css))

    def band(self, low: float, high: float, css: str = "wa") -> None:
        """A tinted strip between two values of x."""
        left, right = self.across(low), self.across(high)
        self.marks.append(Mark(f"M{_short(left)} 0H{_short(right)}V1000H{_short(left)}Z", css))

    def bar(self, low: float, high: float, top: float, css: str) -> None:
        """A filled bar from the bottom to `top` between two values of x."""
        left, right, y = (_short(v) for v in (self.across(low), self.across(high), self.down(top)))
        self.marks.append(Mark(f"M{left} 1000V{y}H{right}V1000Z", css))

    def rule(self, value: float, css: str = "mk") -> None:
        """An upright line at a value of x."""
        self.marks.append(Mark(f"M{_short(self.across(value))} 0V1000", css))

    def dot(self, x: float, y: float, css: str) -> None:
        """A dot: a line of no length with round ends, so that stretching leaves it round."""
        self.marks.append(Mark(f"M{_short(self.across(x))} {_short(self.down(y))}h.01", css))

    def label(self, text: str, x: float, y: float, shift: str, css: str = "") -> None:
        """A word beside the point (x, y)."""
        self.labels.append(Label(text, self.across(x) / 10, self.down(y) / 10, shift, css))


def polyline(plot: Plot, xs: npt.ArrayLike, ys: npt.ArrayLike) -> str:
    """The SVG path through points, without those inside a straight level run."""
    across = [plot.across(float(value)) for value in np.asarray(xs)]
    down = [plot.down(float(value)) for value in np.asarray(ys)]
    points = [(_short(x), _short(y)) for x, y in zip(across, down, strict=True)]
    kept = [
        point
        for place, point in enumerate(points)
        if place in (0, len(points) - 1)
        or not points[place - 1][1] == point[1] == points[place + 1][1]
    ]
    return "M" + "L".join(f"{x} {y}" for x, y in kept)


def spark(ys: npt.ArrayLike) -> str:
    """A small line over 0..1, of values in 0..1."""
    values = np.asarray(ys, np.float64)
    return polyline(Plot(""), np.linspace(0, 1, len(values)), values)


def round_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """At most `most` round numbers from `low` to `high`."""
    span = high - low
    if not span > 0:
        return [low]
    power = 10.0 ** np.floor(np.log10(span / most))
    step = next(power * n for n in (1, 2, 5, 10, 20) if span / (power * n) <= most - 1)
    first = np.ceil(low / step - 1e-9) * step
    return [float(round(v, 10)) for v in np.arange(first, high + step * 1e-6, step)]


def tick_text(value: float) -> str:
    """A number on an axis: `.2`, `1`, `250`."""
    text = f"{value:.6g}"
    return text[1:] if text.startswith("0.") else text


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
