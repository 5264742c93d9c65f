"""`bpnet dataset show`: a contact sheet of training samples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.build import check_input_size, skeleton_of, training_loader_of
from bpnet_cli.data.pipeline import SampleLoader
from bpnet_cli.errors import BpnetError
from bpnet_cli.files import atomic_path, check_folder
from bpnet_cli.inspection.tiles import Image, draw_sample
from bpnet_cli.log import progress
from bpnet_cli.pose.targets import render_targets
from bpnet_cli.spec.experiment import ExperimentSpec
from bpnet_cli.storage import local_path

LEGEND = (
    "Hollow keypoints are occluded. The loss ignores hatched parts.",
    "Below each crop are its targets: keypoints (largest heatmap) and limbs (longest PAF vector).",
)
_SIDES = "Left is blue, right orange, the middle green."
_NO_SIDES = "All is green, because the skeleton has no left/right pairs."
GAP = 12
LINE_HEIGHT = 20
_PAPER, _INK, _PALE_INK = 255, (25, 25, 25), (95, 95, 95)
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.48


def show_samples(spec: ExperimentSpec, output: str | Path, count: int, columns: int) -> Path:
    """Write a PNG with the first `count` training samples of a spec, `columns` per row. Returns its path.

    These are the first samples of `bpnet train`. Raises BpnetError where `output` doesn't end in .png or can't be
    written, and where the data can't be used.
    """
    path = local_path(output)
    if path.suffix.lower() != ".png":
        raise BpnetError(f"{path}: the contact sheet is a PNG file; the name must end in .png")
    check_folder(path.parent)
    check_input_size(spec)
    loader = training_loader_of(spec, skeleton_of(spec))
    shape = (spec.targets.heatmap_sigma_px, spec.targets.paf_half_width_px)
    tiles = [_draw(loader, position, *shape) for position in progress(range(count), count, "drawing")]
    captions = [describe(loader, position) for position in range(count)]
    colours = _SIDES if loader.skeleton.flip_pairs else _NO_SIDES
    heading = (f"{spec.name}: the first {count} training samples", f"{colours} {LEGEND[0]}", *LEGEND[1:])
    sheet = arrange(tiles, captions, columns, heading)
    with atomic_path(path) as temporary:
        temporary.write_bytes(cv2.imencode(".png", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))[1].tobytes())
    return path


def describe(loader: SampleLoader, position: int) -> tuple[str, str]:
    """Two lines about the sample at a position of the stream: the photo's file name; the position and what it shows."""
    epoch, index = loader.locate(position)
    sample = loader.samples[index]
    people = len(sample.photo.keypoints)
    what = f"crop of a photo, people: {people}" if sample.person is None else f"person {sample.person + 1} of {people}"
    return Path(sample.photo.image.name).name, f"sample {position}{f' (epoch {epoch + 1})' if epoch else ''}: {what}"


def arrange(tiles: Sequence[Image], captions: Sequence[Sequence[str]], columns: int, heading: Sequence[str]) -> Image:
    """The sheet, (H, W, 3) uint8 on white: the lines of the heading, then the tiles with their captions below them.

    tiles: (h, w, 3) uint8, all of one size. captions: lines for each tile. columns: tiles per row.
    """
    height, width = tiles[0].shape[:2]
    columns = min(columns, len(tiles))
    inner = columns * (width + GAP) - GAP
    heading = [line for text in heading for line in _wrapped(text, inner)]
    cell_height = height + len(captions[0]) * LINE_HEIGHT + GAP
    top = GAP + len(heading) * LINE_HEIGHT + GAP
    rows = -(-len(tiles) // columns)
    sheet = np.full((top + rows * (cell_height + GAP), inner + 2 * GAP, 3), _PAPER, np.uint8)
    _write(sheet, heading, GAP, GAP, inner)
    for i, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        y, x = top + i // columns * (cell_height + GAP), GAP + i % columns * (width + GAP)
        sheet[y : y + height, x : x + width] = tile
        _write(sheet, caption, x, y + height, width)
    return sheet


def _draw(loader: SampleLoader, position: int, heatmap_sigma_px: float, paf_half_width_px: float) -> Image:
    image, keypoints, mask, _ = loader.load(position)
    heatmaps, pafs = render_targets(
        keypoints,
        loader.height,
        loader.width,
        loader.skeleton,
        loader.stride,
        heatmap_sigma_px,
        paf_half_width_px,
    )
    return draw_sample(image, keypoints, mask, heatmaps, pafs, loader.skeleton)


def _write(sheet: NDArray[np.uint8], lines: Sequence[str], x: int, y: int, width: int) -> None:
    """Write lines below (x, y), shortened to `width` pixels; the first line is darker."""
    for i, line in enumerate(lines):
        ink = _PALE_INK if i else _INK
        where = (x, y + (i + 1) * LINE_HEIGHT - 5)
        cv2.putText(sheet, _fitted(line, width), where, _FONT, _FONT_SCALE, ink, 1, cv2.LINE_AA)


def _fitted(text: str, width: int) -> str:
    """The text in ASCII, which OpenCV can draw; where it is wider than `width` pixels, its middle becomes "..."."""
    drawable = text.encode("ascii", "replace").decode()
    fitted, keep = drawable, len(drawable)
    while keep > 2 and _width(fitted) > width:
        keep -= 1
        fitted = f"{drawable[: keep // 2]}...{drawable[len(drawable) - (keep - keep // 2) :]}"
    return fitted


def _wrapped(text: str, width: int) -> list[str]:
    """The text wrapped to lines of at most `width` pixels; a single word may be wider."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if _width(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def _width(text: str) -> int:
    return int(cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0])
