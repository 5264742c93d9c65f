"""The decoder in steps: what the photo, the maps, the peaks, the limbs and the people look like."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from canvas import (
    BLUE,
    GREEN,
    RED,
    YELLOW,
    Image,
    arrow,
    captioned,
    dot,
    line,
    side_by_side,
    view_of,
    write,
)
from numpy.typing import NDArray

from bpnet_cli import Person, Predictor, Skeleton
from bpnet_cli.inference.draw import draw_maps, draw_persons
from bpnet_cli.pose.assemble import assemble
from bpnet_cli.pose.geometry import cell_to_pixel
from bpnet_cli.pose.limbs import LimbCandidates, find_limbs
from bpnet_cli.pose.peaks import Peaks, find_peaks, sane

# The keypoint and the limb that the pictures follow.
KEYPOINT = "nose"
LIMB = ("neck", "nose")


@dataclass(frozen=True, eq=False)
class Trace:
    """What the decoder makes of a photo, step by step.

    to_input: 2 x 3, from pixels of the photo to pixels of the network's input. groups: (P, K) peaks of the people, -1
    where a keypoint is absent, before people are dropped. people: as `decode` returns them, in pixels of the input.
    """

    photo: Image
    to_input: NDArray[np.float64]
    heatmaps: NDArray[np.float32]
    pafs: NDArray[np.float32]
    skeleton: Skeleton
    stride: int
    peaks: Peaks
    limbs: LimbCandidates
    groups: NDArray[np.intp]
    people: list[Person]

    @property
    def points(self) -> NDArray[np.float64]:
        """(N, 2) peaks in pixels of the network's input."""
        cells = np.stack([self.peaks.points.real, self.peaks.points.imag], axis=-1).astype(np.float64)
        return np.asarray(cell_to_pixel(cells, self.stride), np.float64)

    @property
    def owner(self) -> NDArray[np.intp]:
        """(N,) the row of `groups` that each peak is in."""
        owners = np.zeros(len(self.peaks.score), np.intp)
        for row, group in enumerate(self.groups):
            owners[group[group >= 0]] = row
        return owners

    def names_of(self, candidate: int) -> tuple[str, str]:
        """The names of a candidate limb's two keypoints."""
        ends = self.limbs.start[candidate], self.limbs.end[candidate]
        first, second = (self.skeleton.keypoints[self.peaks.keypoint[peak]] for peak in ends)
        return first, second


def trace(predictor: Predictor, photo: Image) -> Trace:
    """Run a network on a (H, W, 3) uint8 RGB photo and keep what each step of the decoder makes."""
    heatmaps, pafs, to_input = predictor.maps(photo)
    skeleton, stride = predictor.backend.metadata.skeleton, predictor.backend.metadata.stride
    options = predictor.options
    peaks = find_peaks(sane(heatmaps), options.peak_threshold, options.max_peaks)
    limbs = find_limbs(pafs, peaks, skeleton.limb_indices, options.limb_threshold, options.limb_samples)
    rows, columns = pafs.shape[:2]
    diagonal = min(float(np.hypot(rows, columns)), 2.0 * min(rows, columns))
    groups = assemble(peaks, limbs, skeleton.neighbours, diagonal, options.merge_distance)
    unchanged = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    people = predictor.decode(heatmaps, pafs, unchanged)
    return Trace(photo, to_input, heatmaps, pafs, skeleton, stride, peaks, limbs, groups, people)


def maps_picture(found: Trace) -> Image:
    """Steps 1 and 2: the photo, and the heatmap of one keypoint."""
    view = view_of(found.photo, found.to_input)
    k = found.skeleton.keypoints.index(KEYPOINT)
    # The last channel is the background, which `draw_maps` doesn't show.
    heatmap = np.hsplit(draw_maps(view.image, found.heatmaps[..., [k, -1]], found.pafs[..., :2]), 2)[0]
    return side_by_side([captioned(view.image, "1  photo"), captioned(heatmap, f"2  heatmap of {_spoken(KEYPOINT)}")])


def vectors_picture(found: Trace, box: tuple[int, int, int, int]) -> Image:
    """Steps 3 and 4: the PAF of one limb as arrows, in the part `box` of the photo, and all peaks."""
    words = f"3  PAF of {_spoken(LIMB[0])} - {_spoken(LIMB[1])}, enlarged"
    return side_by_side(
        [captioned(_paf(found, box), words), captioned(_peaks(found), "4  peaks of all keypoints, with scores")]
    )


def people_picture(found: Trace) -> Image:
    """Steps 5 and 6: candidate limbs with their weights, and people."""
    view = view_of(found.photo, found.to_input)
    people = [person.moved(view.matrix) for person in found.people]
    drawn = draw_persons(view.image, people, found.skeleton, hollow_below=0.15)
    return side_by_side([captioned(_limbs(found), "5  candidate limbs, with weights"), captioned(drawn, "6  people")])


def rivals_picture(found: Trace, limb: tuple[str, str], box: tuple[int, int, int, int]) -> Image:
    """The candidates for one limb among several people, in the part `box` of the photo; and the people."""
    near = view_of(found.photo, found.to_input, box).dim
    canvas, points, owner = near.image, near.at(found.points), found.owner
    number = [i for i in range(len(found.limbs.weight)) if found.names_of(i) == limb]
    joined = {i: bool(owner[found.limbs.start[i]] == owner[found.limbs.end[i]]) for i in number}
    for i in sorted(number, key=joined.__getitem__):
        _candidate(canvas, points[found.limbs.start[i]], points[found.limbs.end[i]], 1.0, joined[i])
    for turn, i in enumerate(number, 1):
        middle = (points[found.limbs.start[i]] + points[found.limbs.end[i]]) / 2
        write(canvas, f"{turn}: {found.limbs.weight[i]:.2f}", middle + np.array([16, 4]), 14)
    view = view_of(found.photo, found.to_input)
    people = [person.moved(view.matrix) for person in found.people if person.score > 2]
    drawn = draw_persons(view.image, people, found.skeleton, colour="person")
    words = f"candidates for {_spoken(limb[0])} - {_spoken(limb[1])}, enlarged"
    return side_by_side([captioned(canvas, words), captioned(drawn, "people")])


def _paf(found: Trace, box: tuple[int, int, int, int]) -> Image:
    view = view_of(found.photo, found.to_input, box).dim
    limb = found.skeleton.limbs.index(LIMB)
    vectors = found.pafs[..., 2 * limb : 2 * limb + 2].astype(np.float64)
    rows, columns = vectors.shape[:2]
    grid = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1).astype(np.float64)
    centres = view.at(np.asarray(cell_to_pixel(grid, found.stride), np.float64))
    cell = found.stride * view.matrix[0, 0]
    canvas = view.image
    for y, x in np.argwhere(np.hypot(*np.moveaxis(vectors, -1, 0)) > 0.06).tolist():
        vector = 0.95 * cell * vectors[y, x]
        arrow(canvas, centres[y, x] - vector / 2, vector, YELLOW, 2)
    for name in LIMB:
        of_name = found.peaks.keypoint == found.skeleton.keypoints.index(name)
        for point, score in zip(view.at(found.points[of_name]), found.peaks.score[of_name], strict=True):
            dot(canvas, point, 6, BLUE)
            write(canvas, f"{_spoken(name)} {score:.2f}", point + np.array([0, 24]), 13, anchor=0.5)
    return canvas


# Where a peak's score stands, in pixels from the peak: by default below it.
_BESIDE = {
    "right_eye": (-14, -22),
    "left_eye": (14, -22),
    "right_ear": (-32, -8),
    "left_ear": (32, -8),
    "nose": (30, 18),
}


def _peaks(found: Trace) -> Image:
    view = view_of(found.photo, found.to_input).dim
    points, score = view.at(found.points), found.peaks.score
    for point, height in zip(points, score, strict=True):
        dot(view.image, point, 4 + 5 * float(height), YELLOW if height > 0.15 else RED, hollow=height <= 0.15)
    for i, point in enumerate(points):
        name = found.skeleton.keypoints[found.peaks.keypoint[i]]
        others = np.delete(points, i, axis=0)
        if np.hypot(*(others - point).T).min(initial=1e9) > 60:
            below = 24 if point[1] < 440 else -24
            write(view.image, f"{score[i]:.2f}", point + np.array([0, below]), 13, anchor=0.5)
        elif score[i] > 0.15:
            write(view.image, f"{score[i]:.2f}", point + np.array(_BESIDE.get(name, (0, 24))), 11, anchor=0.5)
    return view.image


def _limbs(found: Trace) -> Image:
    view = view_of(found.photo, found.to_input).dim
    points, owner = view.at(found.points), found.owner
    for i in reversed(range(len(found.limbs.weight))):
        a, b, weight = found.limbs.start[i], found.limbs.end[i], float(found.limbs.weight[i])
        _candidate(view.image, points[a], points[b], weight, bool(owner[a] == owner[b]))
    for i, weight in enumerate(found.limbs.weight):
        a, b = points[found.limbs.start[i]], points[found.limbs.end[i]]
        if np.hypot(*(a - b)) > 60:
            aside = (b - a)[::-1] * (1, -1) / np.hypot(*(b - a))
            joined = owner[found.limbs.start[i]] == owner[found.limbs.end[i]]
            write(view.image, f"{weight:.2f}", (a + b) / 2 + 22 * aside * (1 if joined else -1), 13, anchor=0.5)
    return view.image


def _candidate(canvas: Image, a: NDArray[np.float64], b: NDArray[np.float64], weight: float, joined: bool) -> None:
    line(canvas, a, b, GREEN if joined else RED, 3 if weight < 0.2 else 5, dashed=not joined)
    for end in (a, b):
        dot(canvas, end, 4, YELLOW)


def _spoken(name: str) -> str:
    return name.replace("_", " ")
