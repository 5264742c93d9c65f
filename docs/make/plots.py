"""Two plots of the decoder's arithmetic, from the maps of a real photo."""

from __future__ import annotations

import numpy as np
from decoder import KEYPOINT, LIMB, Trace
from numpy.typing import NDArray
from svg import BLUE, GREEN, INK, MINT, ORANGE, PALE, RULE, SAND, SKY, WHITE, WIDTH, Svg

from bpnet_cli.pose.geometry import cell_to_pixel

SAMPLES = 8
_CELL = 29  # pixels of a map cell in the picture of samples


def subcell_plot(found: Trace) -> str:
    """The heights of the cells in the peak's row, the Gaussian through three of them, and its top."""
    k = found.skeleton.keypoints.index(KEYPOINT)
    peak = int(np.flatnonzero(found.peaks.keypoint == k)[0])
    top = float(found.peaks.points[peak].real)
    row, middle = round(float(found.peaks.points[peak].imag)), round(top)
    heights = found.heatmaps[row, :, k].astype(np.float64)
    svg = Svg(400, "The heights of a row of cells, and the top of the Gaussian through the highest three")
    base, high, step = 300.0, 250.0 / 0.8, 80.0
    left = WIDTH / 2 - step * 3.5 + 10

    def place(cell: float, height: float) -> tuple[float, float]:
        return left + step * (cell - middle + 3.5), base - high * height

    _axis(svg, left, base, high, step)
    for cell in range(middle - 3, middle + 4):
        x, y = place(cell, float(heights[cell]))
        used = abs(cell - middle) <= 1
        svg.rect(x - 0.38 * step, y, 0.76 * step, base - y, SAND if used else SKY, ORANGE if used else BLUE)
        svg.write(x, base + 22, f"cell {cell}", 15, anchor="middle")
        svg.write(x, base + 42, f"pixel {cell_to_pixel(float(cell), found.stride):.1f}", 13, PALE, "middle")
        svg.write(x, base - 10 if heights[cell] > 0.1 else y - 14, f"{heights[cell]:.2f}", 15, anchor="middle")
    logs = np.log(heights[middle - 1 : middle + 2])
    bend, slope = (logs[0] - 2 * logs[1] + logs[2]) / 2, (logs[2] - logs[0]) / 2
    shifts = np.linspace(-1.9, 2.5, 89)
    curve = np.exp(logs[1] + slope * shifts + bend * shifts**2)
    svg.line([place(middle + s, h) for s, h in zip(shifts.tolist(), curve.tolist(), strict=True)], ORANGE, 3)
    x, _ = place(top, 0)
    svg.line([(x, base), (x, 30)], INK, 2, "6 4")
    svg.write(x + 10, 42, f"top: cell {top:.2f} = pixel {cell_to_pixel(top, found.stride):.1f}", 16, bold=True)
    svg.write(left, 378, f"heatmap of the {KEYPOINT}, row {row}; orange: the three cells and the Gaussian", 15, PALE)
    return svg.text


def _axis(svg: Svg, left: float, base: float, high: float, step: float) -> None:
    for height in (0.0, 0.2, 0.4, 0.6, 0.8):
        y = base - high * height
        svg.line([(left, y), (left + 7 * step, y)], RULE, 1)
        svg.write(left - 8, y + 5, f"{height:.1f}", 14, PALE, "end")


def samples_plot(found: Trace) -> str:
    """Two candidates for a limb on the PAF's cells, and PAF . direction at their samples."""
    limb = found.skeleton.limbs.index(LIMB)
    pairs = [i for i in range(len(found.limbs.weight)) if found.names_of(i) == LIMB]
    first, last = _extent(found, pairs)
    svg = Svg(40 + _CELL * (last[1] - first[1] + 1), "The points at which a limb's PAF is read, and what is read there")
    vectors = found.pafs[..., 2 * limb : 2 * limb + 2].astype(np.float64)
    _grid(svg, found, vectors, pairs)
    for turn, i in enumerate(pairs):
        _chart(svg, found, vectors, i, 75.0 + 225 * turn, (GREEN, MINT) if turn == 0 else (ORANGE, SAND))
    return svg.text


def _ends(found: Trace, candidate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Start and end of a candidate limb, x and y in cells."""
    start, end = (found.peaks.points[side[candidate]] for side in (found.limbs.start, found.limbs.end))
    return np.array([start.real, start.imag], float), np.array([end.real, end.imag], float)


def _samples(found: Trace, candidate: int) -> NDArray[np.float64]:
    """(S, 2) samples of a candidate limb in cells; the spacing is that of `bpnet_cli.pose.limbs`."""
    start, end = _ends(found, candidate)
    even = np.arange(SAMPLES) / (SAMPLES - 1)
    shares = even / 2 + (1 - np.cos(np.pi * even)) / 4
    return start + shares[:, None] * (end - start)


def _along(found: Trace, vectors: NDArray[np.float64], candidate: int) -> NDArray[np.float64]:
    """(S,) PAF . direction at the samples, by bilinear interpolation."""
    start, end = _ends(found, candidate)
    points = _samples(found, candidate)
    corner = np.floor(points).astype(int)
    x, y = (points - corner).T[..., None]
    column, row = corner.T
    upper = (1 - x) * vectors[row, column] + x * vectors[row, column + 1]
    lower = (1 - x) * vectors[row + 1, column] + x * vectors[row + 1, column + 1]
    direction = (end - start) / np.hypot(*(end - start))
    along: NDArray[np.float64] = ((1 - y) * upper + y * lower) @ direction
    return along


def _extent(found: Trace, pairs: list[int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The first and the last cell, x and y, of a part of the map that holds all candidates."""
    points = np.concatenate([_samples(found, i) for i in pairs])
    around = np.array([2, 1])
    return np.floor(points.min(axis=0)).astype(int) - around, np.ceil(points.max(axis=0)).astype(int) + around


def _grid(svg: Svg, found: Trace, vectors: NDArray[np.float64], pairs: list[int]) -> None:
    """The cells around the candidates with their vectors, and the candidates with their samples."""
    first, last = _extent(found, pairs)

    def place(x: float, y: float) -> tuple[float, float]:
        return 30 + _CELL * (x - first[0] + 0.5), 20 + _CELL * (y - first[1] + 0.5)

    for row in range(first[1], last[1] + 1):
        for column in range(first[0], last[0] + 1):
            x, y = place(column, row)
            svg.rect(x - _CELL / 2, y - _CELL / 2, _CELL, _CELL, WHITE, RULE)
            u, v = (_CELL * 1.2 * vectors[row, column]).tolist()
            if np.hypot(u, v) > 0.07 * _CELL:
                svg.line([(x - u / 2, y - v / 2), (x + u / 2, y + v / 2)], BLUE, 2, tip=True)
    for i, colour in zip(reversed(pairs), (ORANGE, GREEN), strict=True):
        line = [place(x, y) for x, y in _samples(found, i).tolist()]
        svg.line(line, colour, 2.5)
        for x, y in line:
            svg.dot(x, y, 5, colour)


def _chart(
    svg: Svg, found: Trace, vectors: NDArray[np.float64], candidate: int, top: float, colours: tuple[str, str]
) -> None:
    """Bars of PAF . direction, their mean, and the weight of the candidate."""
    along = _along(found, vectors, candidate)
    start, end = (float(found.peaks.score[side[candidate]]) for side in (found.limbs.start, found.limbs.end))
    weight, left, high, base, right = float(found.limbs.weight[candidate]), 315.0, 110.0, top + 120, 640.0
    svg.write(left, top - 22, f"{LIMB[0]} to {LIMB[1]}, peak of height {end:.2f}", 16, colours[0], bold=True)
    for height in (0.0, 0.5, 1.0):
        svg.line([(left, base - high * height), (right, base - high * height)], RULE, 1)
        svg.write(left - 8, base - high * height + 5, f"{height:.1f}", 14, PALE, "end")
    for i, value in enumerate(along.tolist()):
        svg.rect(left + 6 + 40 * i, base - high * value, 32, high * value, colours[1], colours[0])
    mean = float(along.mean())
    svg.line([(left, base - high * mean), (right + 6, base - high * mean)], INK, 2, "6 4")
    svg.write(right + 10, base - high * mean + 5, f"{mean:.2f}", 15, bold=True)
    sum_of = f"weight = {mean:.2f} x √({start:.2f} x {end:.2f}) = {weight:.2f}"
    svg.write(left, base + 28, sum_of, 17)
