"""SVG pictures as text: a light card with dark marks, which reads on white and on dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

INK = "#1c2127"
PALE = "#5b6570"
RULE = "#c3cad2"
CARD = "#f7f8fa"
WHITE = "#ffffff"
BLUE = "#0072b2"
SKY = "#cfe6f5"
GREEN = "#009e73"
MINT = "#cfeee3"
ORANGE = "#d55e00"
SAND = "#fbe3c4"
LILAC = "#e6dcf2"
WIDTH = 700  # pixels of all pictures, so that text has one size


class Svg:
    """Collects shapes; `text` is the file. All lengths are pixels of a picture that is `WIDTH` wide."""

    def __init__(self, height: float, title: str) -> None:
        self.height = height
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {_n(height)}" width="{WIDTH}" '
            f'height="{_n(height)}" font-family="Helvetica, Arial, sans-serif" role="img">',
            f"<title>{escape(title)}</title>",
            f'<rect width="{WIDTH}" height="{_n(height)}" rx="10" fill="{CARD}"/>',
        ]

    @property
    def text(self) -> str:
        """The whole file."""
        return "\n".join([*self._parts, "</svg>\n"])

    def rect(
        self, x: float, y: float, wide: float, high: float, fill: str, stroke: str = "none", radius: float = 0
    ) -> None:
        """A rectangle with its upper left corner at x, y."""
        self._parts.append(
            f'<rect x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{_n(high)}" rx="{_n(radius)}" fill="{fill}" '
            f'stroke="{stroke}"/>'
        )

    def write(
        self,
        x: float,
        y: float,
        words: str,
        size: int = 15,
        fill: str = INK,
        anchor: str = "start",
        bold: bool = False,
    ) -> None:
        """A line of text; y is its base line, x its start, middle or end."""
        weight = ' font-weight="bold"' if bold else ""
        self._parts.append(
            f'<text x="{_n(x)}" y="{_n(y)}" font-size="{size}" fill="{fill}" text-anchor="{anchor}"{weight}>'
            f"{escape(words)}</text>"
        )

    def line(
        self, points: Sequence[tuple[float, float]], stroke: str, width: float = 2, dashes: str = "", tip: bool = False
    ) -> None:
        """A line through points; with a tip, its last part ends in an arrow head."""
        path = " ".join(f"{_n(x)},{_n(y)}" for x, y in points)
        dashed = f' stroke-dasharray="{dashes}"' if dashes else ""
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{stroke}" stroke-width="{_n(width)}"{dashed} '
            'stroke-linejoin="round"/>'
        )
        if tip:
            self._tip(points[-2], points[-1], stroke, 2 + 2 * width)

    def dot(self, x: float, y: float, radius: float, fill: str, stroke: str = INK) -> None:
        """A disc around x, y."""
        self._parts.append(f'<circle cx="{_n(x)}" cy="{_n(y)}" r="{_n(radius)}" fill="{fill}" stroke="{stroke}"/>')

    def _tip(self, start: tuple[float, float], end: tuple[float, float], fill: str, size: float) -> None:
        across, down = end[0] - start[0], end[1] - start[1]
        length = (across**2 + down**2) ** 0.5 or 1.0
        u, v = across / length, down / length
        back = (end[0] - size * u, end[1] - size * v)
        corners = [
            end,
            (back[0] - size * v / 2, back[1] + size * u / 2),
            (back[0] + size * v / 2, back[1] - size * u / 2),
        ]
        path = " ".join(f"{_n(x)},{_n(y)}" for x, y in corners)
        self._parts.append(f'<polygon points="{path}" fill="{fill}"/>')


def _n(value: float) -> str:
    """A number with at most one decimal, so that the file is the same on every machine."""
    return f"{value:.1f}".removesuffix(".0")
