"""Plots as small SVG files: lines over a linear or logarithmic axis."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 640, 340
LEFT, RIGHT, TOP, BOTTOM = 70, 110, 40, 50
COLOURS = ("#1f6feb", "#d1572b", "#2a8a4a", "#8250df", "#9a6700", "#57606a")


def draw(series: dict[str, Any]) -> str:
    """Draw `{"plot", "x", "y", "log", "lines": {name: [{"x", "y"}]}}`."""
    points = [point for line in series["lines"].values() for point in line]
    log = bool(series.get("log"))
    place_x = _axis([p["x"] for p in points], LEFT, WIDTH - RIGHT, log=log, zero=False)
    place_y = _axis([p["y"] for p in points], HEIGHT - BOTTOM, TOP, log=False, zero=True)
    middle, bottom = (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        '  font-family="sans-serif" font-size="12" fill="#57606a">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-size="14" fill="#24292f">{escape(series["plot"])}</text>',
        f'<text x="{middle}" y="{bottom}" text-anchor="middle">{escape(series["x"])}</text>',
        f'<text transform="translate(14 {HEIGHT / 2}) rotate(-90)" text-anchor="middle">',
        f"{escape(series['y'])}</text>",
    ]
    parts += _grid(points, place_x, place_y)
    for number, (name, line) in enumerate(series["lines"].items()):
        parts += _line(name, line, number, place_x, place_y)
    return "\n".join([*parts, "</svg>", ""])


def _axis(values: list[float], start: float, end: float, *, log: bool, zero: bool) -> Any:
    """Return the function that maps a value to a position between two ends."""
    least, most = (0.0 if zero else min(values, default=0)), max(values, default=1)
    if log:
        least, most = math.log10(max(least, 1e-9)), math.log10(max(most, 1e-9))
    span = (most - least) or 1.0

    def place(value: float) -> float:
        at = math.log10(max(value, 1e-9)) if log else value
        return start + (end - start) * (at - least) / span

    return place


def _grid(points: list[dict[str, float]], place_x: Any, place_y: Any) -> list[str]:
    shown = sorted({point["x"] for point in points})
    below = HEIGHT - BOTTOM + 18
    parts = [
        f'<text x="{place_x(value):.1f}" y="{below}" text-anchor="middle">{_number(value)}</text>'
        for value in shown[:: max(1, len(shown) // 8)]
    ]
    most = max((point["y"] for point in points), default=1) or 1
    step = 10 ** math.floor(math.log10(most))
    step = next(s for s in (step / 5, step / 2, step, step * 2) if most / s <= 6)
    for number in range(int(most / step) + 1):
        y, written = place_y(number * step), _number(number * step)
        parts.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#d8dee4"/>'
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{written}</text>'
        )
    return parts


def _line(
    name: str, line: list[dict[str, float]], number: int, place_x: Any, place_y: Any
) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    places = [(place_x(point["x"]), place_y(point["y"])) for point in line]
    drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5"/>' for x, y in places)
    at = f'x="{WIDTH - RIGHT + 12}" y="{TOP + 16 * (number + 1)}"'
    return [
        f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>',
        f'<g fill="{colour}">{dots}<text {at}>{escape(name)}</text></g>',
    ]


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:,g}"
