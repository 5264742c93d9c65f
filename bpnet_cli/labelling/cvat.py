"""CVAT's format "CVAT for images 1.1" (XML): skeletons, or points and boxes in groups.

Source: CVAT's documentation, "XML annotation format", version 1.1.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable, Iterator
from pathlib import Path, PurePosixPath
from typing import NoReturn
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from bpnet_cli.errors import DataError
from bpnet_cli.labelling.files import head_of
from bpnet_cli.labelling.groups import Frame, Mark, people_of
from bpnet_cli.labelling.source import OCCLUDED, VISIBLE, Box, Person, Photo, Point, Source, number, read_photo

_DRAWN = re.compile(r"<(line|circle)\b([^>]*)>")
_ATTRIBUTE = re.compile(r"data-([a-z-]+)=[\"']([^\"']*)[\"']")


def tells(path: Path) -> bool:
    """Whether a path is CVAT's XML, or a folder that holds it."""
    path = _file(path)
    return path.is_file() and b"<annotations" in head_of(path)


def read(path: Path) -> Source:
    """Read an XML file, or `annotations.xml` of a folder. Raises DataError."""
    path = _file(path)
    root = _parsed(path)
    if root.find("track") is not None:
        raise DataError(f"{path}: is 'CVAT for video'; export as 'CVAT for images 1.1', which has each frame by itself")
    images = root.findall("image")
    if root.tag != "annotations" or not images:
        raise DataError(f"{path}: not 'CVAT for images 1.1': it has no <image> in <annotations>")
    keypoints, limbs = _skeletons(root)
    unnamed = not keypoints and any(_is_row(element) for image in images for element in image.iter("points"))
    photos = [_named(image, path.parent / "images") for image in images]
    return Source(path.parent, photos, keypoints, limbs, unnamed)


def _file(path: Path) -> Path:
    return path / "annotations.xml" if path.is_dir() else path


class _Builder(ElementTree.TreeBuilder):
    """Refuses a document type: its entities can grow without limit, and CVAT writes none."""

    def doctype(self, name: str, public: str | None, system: str | None) -> NoReturn:
        """Called at the start of the document type, before anything in it is read."""
        raise DataError("has a DOCTYPE, which CVAT never writes; is it a CVAT file?")


def _parsed(path: Path) -> Element:
    try:
        return ElementTree.parse(path, ElementTree.XMLParser(target=_Builder())).getroot()
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DataError(f"{path}: not XML, or cut off: {error}") from None
    except OSError as error:
        raise DataError(f"{path}: can't be read: {error.strerror or error}") from None


def _skeletons(root: Element) -> tuple[dict[str, list[str]], dict[str, list[tuple[str, str]]]]:
    """By the label of each skeleton, its keypoints in the task's order, and its limbs."""
    labels = list(root.iterfind("meta//labels/label"))
    keypoints: dict[str, list[str]] = {}
    for label in labels:
        if parent := label.findtext("parent"):
            keypoints.setdefault(parent, []).append(label.findtext("name") or "")
    drawn = {label.findtext("name") or "": label.findtext("svg") or "" for label in labels}
    return keypoints, {name: list(_limbs(drawn.get(name, ""), own)) for name, own in keypoints.items()}


def _limbs(drawing: str, names: list[str]) -> Iterator[tuple[str, str]]:
    """The lines of a skeleton's drawing (SVG as text), from the numbers of its nodes to their names."""
    found = [(tag, dict(_ATTRIBUTE.findall(attributes))) for tag, attributes in _DRAWN.findall(drawing)]
    nodes = {a.get("node-id"): a["label-name"] for tag, a in found if tag == "circle" and "label-name" in a}
    nodes = {**{str(i): name for i, name in enumerate(names, start=1)}, **nodes}
    for tag, attributes in found:
        ends = nodes.get(attributes.get("node-from", "")), nodes.get(attributes.get("node-to", ""))
        if tag == "line" and ends[0] in names and ends[1] in names:
            yield str(ends[0]), str(ends[1])


def _named(image: Element, exported: Path) -> Photo:
    """The photo of an <image>. exported: where CVAT puts photos, those of a project in a folder for each subset."""
    subset, own = image.get("subset"), image.get("name", "")
    name = f"{subset}/{own}" if subset and (exported / subset).is_dir() else own
    return read_photo(name, lambda: _photo(image, name))


def _photo(image: Element, name: str) -> Photo:
    size = (int(number(image.get("height", 0))), int(number(image.get("width", 0))))
    bare = not PurePosixPath(name.replace("\\", "/")).suffix
    return Photo(name, _people(image), size if all(size) else None, any_ending=bare)


def _people(image: Element) -> list[Person]:
    groups = Counter(skeleton.get("group_id") for skeleton in image.iter("skeleton"))
    marks: list[Mark] = []
    for place, skeleton in enumerate(image.findall("skeleton")):
        group = skeleton.get("group_id")  # several skeletons in one group are several people
        marks += _marks(skeleton, group if group and groups[group] == 1 else ("skeleton", place))
    single = [element for element in image.findall("points") if not _is_row(element)]
    marks += [Mark(element.get("label", ""), _point(element), element.get("group_id")) for element in single]
    frames = [Frame(box.get("label", ""), _box(box), box.get("group_id")) for box in image.findall("box")]
    rows = [_row(element) for element in image.findall("points") if _is_row(element)]
    return [*people_of(marks, frames), *rows]


def _marks(skeleton: Element, group: Hashable) -> list[Mark]:
    """The points of a skeleton, without those that are outside of the photo."""
    points = [element for element in skeleton.findall("points") if element.get("outside") != "1"]
    return [Mark(element.get("label", ""), _point(element), group, skeleton.get("label", "")) for element in points]


def _is_row(points: Element) -> bool:
    """Whether an element has several points, which then have no names."""
    return ";" in points.get("points", "")


def _row(element: Element) -> Person:
    """A person from an element with all points, named by their numbers from 1."""
    pairs = [pair.split(",") for pair in element.get("points", "").split(";")]
    visibility = _visibility(element)
    points = {str(i): Point(number(x), number(y), visibility) for i, (x, y) in enumerate(pairs, start=1)}
    return Person(element.get("label", ""), points)


def _point(element: Element) -> Point:
    x, y = element.get("points", "").split(",")
    return Point(number(x), number(y), _visibility(element))


def _visibility(element: Element) -> int:
    return OCCLUDED if element.get("occluded") == "1" else VISIBLE


def _box(element: Element) -> Box:
    left, top, right, bottom = (number(element.get(side)) for side in ("xtl", "ytl", "xbr", "ybr"))
    return left, top, right - left, bottom - top
