"""Pictures of what commands make: drawn people in a crowd, training samples, tracked people, people in photos."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from canvas import PANEL, Image, captioned, read_photo, side_by_side, stacked, write

from bpnet_cli import BODY_18, Person, Predictor
from bpnet_cli.data.video import VideoReader
from bpnet_cli.inference.colours import looks_by_person
from bpnet_cli.inference.draw import draw_persons
from bpnet_cli.pose.geometry import resize_affine

# A drawn photo in which people's shoulders and elbows lie in a row.
_CROWD = {"--images": "44", "--people": "2 4", "--size": "368 368", "--seed": "7"}
# A film in which somebody walks behind two others, and the part of the frames where this happens.
_FILM = {"--seconds": "12", "--people": "3 4", "--seed": "4"}
_FRAMES = (55, 70, 85, 100)
_PART = (228, 30, 628, 330)  # left, top, right, bottom


def bpnet(*words: str | int | Path) -> None:
    """Run a command of the product. Raises CalledProcessError where it fails."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-m", "bpnet_cli", *map(str, words)], check=True, env=environment)


def crowd_photo(folder: Path) -> Image:
    """The last photo of a small set of drawn people."""
    bpnet("dataset", "synthetic", "-o", folder, *_options(_CROWD))
    return read_photo(str(sorted((folder / "images").iterdir())[-1]))


def training_sheet(folder: Path) -> Image:
    """What `bpnet dataset show` draws of a set of drawn people."""
    bpnet("dataset", "synthetic", "-o", folder / "drawn", "--images", "12", "--seed", "3")
    paths = {"images": folder / "drawn/images", "annotations": folder / "drawn/annotations/person_keypoints.json"}
    changes = [word for key, path in paths.items() for word in ("--set", f"dataset.train.{key}={path}")]
    bpnet("dataset", "show", "-e", "quickstart", "-o", folder / "sheet.png", "--count", "3", "--columns", "3", *changes)
    return read_photo(str(folder / "sheet.png"))


def tracking_picture(folder: Path) -> Image:
    """Four frames of a drawn film with the people and the ids that `bpnet infer --track` found."""
    bpnet("dataset", "synthetic", "-o", folder / "film", "--video", *_options(_FILM))
    bpnet(
        "infer",
        folder / "film/film.mp4",
        "--track",
        "--no-annotate",
        "--max-frames",
        _FRAMES[-1] + 1,
        "-r",
        folder / "tracks",
    )
    lines = (folder / "tracks/film.mp4.jsonl").read_text().splitlines()
    found = {entry["frame"]: entry for entry in map(json.loads, lines) if "frame" in entry}
    with VideoReader(str(folder / "film/film.mp4")) as film:
        frames = {number: frame.image for number, frame in enumerate(film.frames()) if number in _FRAMES}
    panels = [
        captioned(_tracked(frames[number], found[number]), f"{found[number]['seconds']:.1f} s") for number in _FRAMES
    ]
    return stacked([side_by_side(panels[:2]), side_by_side(panels[2:])])


def found_people(predictor: Predictor, photos: list[Image]) -> Image:
    """Photos side by side with the people that `bpnet infer` draws on them."""
    panels = []
    for photo in photos:
        size = (PANEL, round(PANEL * photo.shape[0] / photo.shape[1]))
        small = np.asarray(cv2.resize(photo, size, interpolation=cv2.INTER_AREA), np.uint8)
        matrix = resize_affine(size[0] / photo.shape[1], size[1] / photo.shape[0])
        people = [person.moved(matrix) for person in predictor.shown(predictor.predict(photo))]
        panels.append(draw_persons(small, people, predictor.backend.metadata.skeleton))
    return side_by_side(panels)


def _tracked(frame: Image, entry: dict[str, Any]) -> Image:
    left, top, right, bottom = _PART
    factor = PANEL / (right - left)
    part = np.ascontiguousarray(frame[top:bottom, left:right])
    canvas = np.asarray(cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_CUBIC), np.uint8)
    matrix = resize_affine(factor, factor) @ np.array([[1.0, 0.0, -left], [0.0, 1.0, -top], [0.0, 0.0, 1.0]])
    people = [_person(row).moved(matrix) for row in entry["persons"] if "id" in row]
    drawn = draw_persons(canvas, people, BODY_18, colour="person")
    for person, look in zip(people, looks_by_person(people, BODY_18), strict=True):
        x, y, wide, _ = person.box
        if 0 < x + wide / 2 < PANEL:
            write(drawn, f"#{person.id}", (x + wide / 2, y - 40), 15, look.label, anchor=0.5)
    return drawn


def _person(row: dict[str, Any]) -> Person:
    keypoints = [[np.nan] * 3 if point is None else point for point in row["keypoints"]]
    return Person(np.array(keypoints, np.float32), row["score"], row["id"]).without_weak(0.15)


def _options(options: dict[str, str]) -> list[str]:
    return [word for key, value in options.items() for word in (key, *value.split())]
