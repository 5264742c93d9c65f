"""Label Studio's export "JSON": keypoints and rectangles, joined by a parent, a relation, or the rectangle around them.

Source: Label Studio's documentation, "Label Studio JSON format of annotated tasks", and its converter.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from bpnet_cli.errors import DataError
from bpnet_cli.labelling.files import head_of, read_json
from bpnet_cli.labelling.groups import Frame, Mark, people_of
from bpnet_cli.labelling.source import Box, Person, Photo, Point, Source, UnclearError, number, read_photo

# Uploaded files get these characters and a dash before their names.
_UPLOAD = re.compile(r"^[0-9a-f]{8}-(?=.)")
_RESULTS = ("annotations", "completions")


def tells(path: Path) -> bool:
    """Whether a file looks like a list of tasks."""
    return path.is_file() and head_of(path).decode("utf-8", "replace").lstrip("\ufeff \t\r\n").startswith("[")


def read(path: Path) -> Source:
    """Read the tasks of a file. Raises DataError."""
    tasks = read_json(path)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise DataError(f"{path}: not Label Studio's JSON: the top level must be a list of tasks")
    if not any(key in task for task in tasks for key in _RESULTS):
        raise DataError(f"{path}: no task has 'annotations'; export as 'JSON', not as 'JSON-MIN'")
    done = [task for task in tasks if _answers(task)]
    return Source(path.parent, [_photo(task) for task in done], left_out=_unlabelled(len(tasks) - len(done)))


def _unlabelled(count: int) -> dict[str, int]:
    return {"tasks without an annotation": count} if count else {}


def _answers(task: dict[str, Any]) -> list[dict[str, Any]]:
    """A task's annotations, the ground truth first, without cancelled ones."""
    found: list[Any] = next((task[key] for key in _RESULTS if isinstance(task.get(key), list)), [])
    kept = [answer for answer in found if isinstance(answer, dict) and not answer.get("was_cancelled")]
    return sorted(kept, key=lambda answer: not answer.get("ground_truth"))


def _photo(task: dict[str, Any]) -> Photo:
    name = photo_name(task)
    return read_photo(
        name or f"task {task.get('id')}", lambda: Photo(name, _people(_answers(task)[0]["result"]), shares=True)
    )


def photo_name(task: dict[str, Any]) -> str:
    """The name of a task's photo, from the address under which Label Studio shows it."""
    data = task.get("data")
    items = sorted(data.items(), key=lambda item: item[0] != "image") if isinstance(data, dict) else []
    texts = [value for _, value in items if isinstance(value, str)]
    address = next((text for text in texts if "/" in text or "." in text), "")
    parts = urlsplit(address.replace("\\", "/"))
    if "local-files" in parts.path:
        return unquote(parse_qs(parts.query).get("d", [""])[0])
    path = unquote(parts.path)
    if "/upload/" in f"/{path}":
        return _UPLOAD.sub("", path.rpartition("/")[2])
    return path


def _people(results: list[dict[str, Any]]) -> list[Person]:
    parents = {r["id"]: r["parentID"] for r in results if r.get("parentID")}
    boxes = {r["id"] for r in results if r["type"] == "rectanglelabels"}
    for relation in (r for r in results if r["type"] == "relation"):
        ends = relation["from_id"], relation["to_id"]
        if len(boxes.intersection(ends)) == 1:
            box, point = ends if ends[0] in boxes else ends[::-1]
            parents[point] = box
    used = set(parents.values())
    marks = [
        Mark(str(r["value"]["keypointlabels"][0]), _point(r), parents.get(r["id"]))
        for r in results
        if r["type"] == "keypointlabels"
    ]
    frames = [
        Frame(str(r["value"]["rectanglelabels"][0]), _box(r), r["id"] if r["id"] in used else None)
        for r in results
        if r["type"] == "rectanglelabels"
    ]
    return people_of(marks, frames)


def _point(result: dict[str, Any]) -> Point:
    """The point in shares of the photo; Label Studio has percent."""
    if result.get("image_rotation"):
        raise UnclearError("was turned in Label Studio; turn the photo itself and label it again")
    return Point(number(result["value"]["x"]) / 100, number(result["value"]["y"]) / 100)


def _box(result: dict[str, Any]) -> Box:
    value = result["value"]
    if value.get("rotation"):
        raise UnclearError("has a turned rectangle, which is no box; draw it upright in Label Studio")
    x, y, width, height = (number(value[key]) / 100 for key in ("x", "y", "width", "height"))
    return x, y, width, height
