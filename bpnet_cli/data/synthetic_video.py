"""Synthetic films with their truth, in the format that `bpnet infer` writes for videos."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from bpnet_cli.data.film import RATE, Seen, paint_film
from bpnet_cli.data.photos import to_skeleton
from bpnet_cli.data.synthetic import check_scene
from bpnet_cli.data.video_writer import VideoWriter
from bpnet_cli.errors import BpnetError, DataError
from bpnet_cli.files import write_text
from bpnet_cli.log import progress
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import BODY_18, COCO_KEYPOINTS
from bpnet_cli.storage import local_path

NAME = "film.mp4"


def generate_video(
    directory: str | Path,
    seconds: float,
    *,
    people: tuple[int, int] = (1, 4),
    height: int = 360,
    width: int = 640,
    seed: int = 0,
    overwrite: bool = False,
) -> Path:
    """Draw directory/film.mp4, with 25 frames per second, and return the path of the truth, film.mp4.jsonl beside it.

    seconds: length of the film. people: smallest and largest number of people who come into the film. height, width:
    pixels. overwrite: replace an existing film.
    The truth is written atomically at the end, so an interrupted run leaves no truth.
    Raises BpnetError for impossible arguments and DataError for a directory that can't be used.
    """
    check_scene(people, height, width, seed)
    frames = round(seconds * RATE)
    if frames < 1:
        raise BpnetError(f"seconds: must be at least {1 / RATE}, one frame (got {seconds})")
    film = local_path(directory) / NAME
    truth = film.with_name(f"{NAME}.jsonl")
    if not overwrite and (film.exists() or truth.exists()):
        raise DataError(f"{directory}: already holds a film or its truth; choose another directory or overwrite")
    try:
        truth.unlink(missing_ok=True)
    except OSError as error:
        raise DataError(f"{truth}: can't be replaced: {error}") from error
    rng = np.random.default_rng(seed)
    painted = paint_film(rng, int(rng.integers(people[0], people[1], endpoint=True)), frames, height, width)
    lines = [_header(seed)]
    with VideoWriter(film, Fraction(RATE)) as writer:
        for i, (picture, seen) in enumerate(progress(painted, frames, "drawing")):
            writer.add(picture)
            lines.append(_line(i, width, height, seen))
    write_text(truth, "".join(json.dumps(line) + "\n" for line in lines))
    return truth


def _header(seed: int) -> dict[str, Any]:
    limbs = [list(limb) for limb in BODY_18.limbs]
    return {
        "model": {"file": None, "name": "synthetic", "seed": seed},
        "skeleton": {"name": BODY_18.name, "keypoints": list(BODY_18.keypoints), "limbs": limbs},
    }


def _line(frame: int, width: int, height: int, seen: Sequence[Seen]) -> dict[str, Any]:
    size = {"file": NAME, "width": width, "height": height}
    return {"frame": frame, "seconds": frame / RATE, **size, "persons": [_entry(person) for person in seen]}


def _entry(seen: Seen) -> dict[str, Any]:
    """A person with the skeleton's keypoints [x, y, visibility], null for visibility 0."""
    rows = to_skeleton(seen.keypoints[None], COCO_KEYPOINTS, BODY_18)[0][0]
    person = Person(np.where(rows[:, 2:] > 0, rows, np.float32(np.nan)), 1.0)
    keypoints = [[round(x, 2), round(y, 2), int(v)] if v else None for x, y, v in rows.tolist()]
    return {"id": seen.id, "score": 1.0, "box": [round(v, 2) for v in person.box], "keypoints": keypoints}
