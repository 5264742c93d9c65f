"""Small label files as other tools write them, all of the same people in the same photos."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WIDTH, HEIGHT = 200, 100
NAMES = ("nose", "left_ear", "right_ear")
LIMBS = (("nose", "left_ear"), ("nose", "right_ear"))
# By photo, each person's x, y, visibility of each keypoint. Two people have no left or right ear, one has a hidden one.
SCENE: dict[str, list[list[tuple[float, float, int]]]] = {
    "a.png": [[(50, 20, 2), (40, 24.5, 2), (60, 24, 1)], [(150, 30, 2), (0, 0, 0), (160, 34, 2)]],
    "b.png": [[(70, 60, 2), (60, 64, 2), (0, 0, 0)]],
    "empty.png": [],
}
Write = Callable[[Path], Path]


def write_photos(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(SCENE):
        cv2.imwrite(str(folder / name), np.full((HEIGHT, WIDTH, 3), 60 * number, np.uint8))


def box_of(person: list[tuple[float, float, int]]) -> tuple[float, float, float, float]:
    """x, y, width, height: 10 pixels around the labelled keypoints."""
    points = np.array([(x, y) for x, y, v in person if v])
    low, high = points.min(axis=0) - 10, points.max(axis=0) + 10
    return (*low.tolist(), *(high - low).tolist())


def cvat(folder: Path) -> Path:
    """A task with a skeleton label, boxes in groups, and the task's own folder in the names."""
    write_photos(folder / "images" / "session")
    circles = "".join(
        f'<circle r="1" data-type="element node" data-element-id="{i}" data-node-id="{i}" data-label-name="{name}">'
        "</circle>"
        for i, name in enumerate(NAMES, start=1)
    )
    lines = "".join(f'<line x1="1" data-type="edge" data-node-from="1" data-node-to="{i}"></line>' for i in (2, 3))
    svg = (lines + circles).replace("<", "&lt;").replace(">", "&gt;")
    sublabels = "".join(
        f"<label><name>{name}</name><type>points</type><attributes></attributes><parent>person</parent></label>"
        for name in NAMES
    )
    text = (
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version><meta><task><name>t</name><labels>'
        f"<label><name>person</name><type>skeleton</type><svg>{svg}</svg></label>{sublabels}</labels></task></meta>"
    )
    for i, (name, people) in enumerate(SCENE.items()):
        text += f'<image id="{i}" name="session\\{name}" width="{WIDTH}" height="{HEIGHT}">'
        for group, person in enumerate(people, start=1):
            x, y, w, h = box_of(person)
            text += f'<skeleton label="person" source="manual" z_order="0" group_id="{group}">'
            for point, (px, py, v) in reversed(list(zip(NAMES, person, strict=True))):
                text += (
                    f'<points label="{point}" source="manual" outside="{int(v == 0)}" occluded="{int(v == 1)}"'
                    f' points="{px:.2f},{py:.2f}"></points>'
                )
            text += (
                f'</skeleton><box label="person" occluded="0" xtl="{x}" ytl="{y}" xbr="{x + w}" ybr="{y + h}"'
                f' z_order="0" group_id="{group}"></box>'
            )
        text += "</image>"
    path = folder / "annotations.xml"
    path.write_text(text + "</annotations>")
    return path


def labelme(folder: Path) -> Path:
    """One file for each photo, in a folder of their own, with paths of Windows."""
    write_photos(folder / "photos")
    (folder / "labels").mkdir()
    for name, people in SCENE.items():
        shapes: list[dict[str, Any]] = []
        for group, person in enumerate(people):
            x, y, w, h = box_of(person)
            shapes.append(_shape("person", "rectangle", [[x + w, y + h], [x, y]], group))
            shapes += [
                _shape(point, "point", [[px, py]], group, occluded=v == 1)
                for point, (px, py, v) in zip(NAMES, person, strict=True)
                if v
            ]
        raw = {"version": "6.3.1", "flags": {}, "shapes": shapes, "imagePath": f"..\\photos\\{name}", "imageData": None}
        raw |= {"imageHeight": HEIGHT, "imageWidth": WIDTH}
        (folder / "labels" / f"{Path(name).stem}.json").write_text(json.dumps(raw))
    return folder / "labels"


def _shape(label: str, kind: str, points: list[list[float]], group: int, occluded: bool = False) -> dict[str, Any]:
    flags = {"occluded": occluded}
    return {"label": label, "points": points, "group_id": group, "shape_type": kind, "flags": flags, "description": ""}


def label_studio(folder: Path) -> Path:
    """An export "JSON": the first person's points have a parent, the second's a relation, the third's only a box."""
    write_photos(folder)
    tasks: list[dict[str, Any]] = []
    for number, (name, people) in enumerate(SCENE.items()):
        results: list[dict[str, Any]] = []
        for i, person in enumerate(people):
            x, y, w, h = box_of(person)
            value: dict[str, Any] = {"x": x / WIDTH * 100, "y": y, "width": w / WIDTH * 100, "height": h, "rotation": 0}
            results.append(_result(f"r{i}", "rectanglelabels", {**value, "rectanglelabels": ["person"]}))
            for point, (px, py, v) in zip(NAMES, person, strict=True):
                if v:
                    at = {"x": px / WIDTH * 100, "y": py / HEIGHT * 100, "width": 0.4, "keypointlabels": [point]}
                    entry = _result(f"p{i}{point}", "keypointlabels", at)
                    if number == i == 0:
                        entry["parentID"] = f"r{i}"
                    elif number == 0:
                        link = {"from_id": entry["id"], "to_id": f"r{i}", "type": "relation", "direction": "right"}
                        results.append(link)
                    results.append(entry)
        answers = [
            {"id": 1, "was_cancelled": True, "result": []},
            {"id": 2, "was_cancelled": False, "result": results},
        ]
        image = f"/data/upload/3/{'0123456789abcdef'[number] * 8}-{name}"
        tasks.append({"id": number + 1, "data": {"image": image}, "annotations": answers})
    path = folder / "project-3-at-2026-01-01.json"
    path.write_text(json.dumps(tasks))
    return path


def _result(key: str, kind: str, value: dict[str, Any]) -> dict[str, Any]:
    size = {"original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0}
    return {**size, "value": value, "id": key, "from_name": "x", "to_name": "image", "type": kind, "origin": "manual"}


def yolo(folder: Path) -> Path:
    """Ultralytics' layout, with the names of keypoints."""
    write_photos(folder / "images" / "train")
    (folder / "labels" / "train").mkdir(parents=True)
    for name, people in SCENE.items():
        lines = []
        for person in people:
            x, y, w, h = box_of(person)
            numbers = [(x + w / 2) / WIDTH, (y + h / 2) / HEIGHT, w / WIDTH, h / HEIGHT]
            numbers += [number for px, py, v in person for number in (px / WIDTH, py / HEIGHT, v)]
            lines.append(" ".join(["0", *(f"{number:.6f}" for number in numbers)]))
        (folder / "labels" / "train" / f"{Path(name).stem}.txt").write_text("\n".join(lines))
    config = ["path: ../datasets/mine", "train: images/train", "kpt_shape: [3, 3]", "flip_idx: [0, 2, 1]"]
    config += ["names:", "  0: person", "kpt_names:", f"  0: [{', '.join(NAMES)}]"]
    (folder / "data.yaml").write_text("\n".join(config))
    return folder


def deeplabcut(folder: Path) -> Path:
    """A project for several animals, with paths in three columns."""
    write_photos(folder / "labeled-data" / "session")
    heads = {"individuals": ["one"] * 6 + ["two"] * 6, "coords": ["x", "y"] * 6}
    heads["bodyparts"] = [name for name in NAMES for _ in "xy"] * 2
    rows = [",".join(["scorer", "", "", *["Jo"] * 12])]
    rows += [",".join([head, "", "", *heads[head]]) for head in ("individuals", "bodyparts", "coords")]
    for name, people in SCENE.items():
        values = [str(number) if v else "" for person in people for x, y, v in person for number in (x, y)]
        rows.append(",".join(["labeled-data", "session", name, *values, *[""] * (12 - len(values))]))
    (folder / "labeled-data" / "session" / "CollectedData_Jo.csv").write_text("\n".join(rows))
    limbs = "".join(f"- - {a}\n  - {b}\n" for a, b in LIMBS)
    (folder / "config.yaml").write_text(f"Task: ears\nscorer: Jo\nmultianimalproject: true\nskeleton:\n{limbs}")
    return folder


# By format: the writer, and whether the format has occluded keypoints, boxes, limbs.
TOOLS: dict[str, tuple[Write, bool, bool, bool]] = {
    "cvat": (cvat, True, True, True),
    "labelme": (labelme, True, True, False),
    "label-studio": (label_studio, False, True, False),
    "yolo-pose": (yolo, True, True, False),
    "deeplabcut": (deeplabcut, False, False, True),
}
