"""`bpnet dataset import`: labels of another tool to a COCO keypoint file."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bpnet_cli.errors import DataError
from bpnet_cli.files import check_folder, check_output, flush_all
from bpnet_cli.labelling.formats import FORMATS, recognise
from bpnet_cli.labelling.names import complete, parse_names, with_names
from bpnet_cli.labelling.place import place_photos
from bpnet_cli.labelling.source import Person, Photo, Point
from bpnet_cli.labelling.write import Placed, write_coco
from bpnet_cli.storage import local_path


@dataclass(frozen=True)
class Imported:
    """What was written.

    format: of the labels. annotations: the COCO file. images: the folder that its file names are relative to. photos:
    how many. people: how many have labelled keypoints. keypoints: names by label. problems: the names of photos that
    were left out, and why. left_out: what else was left out, and how often.
    """

    format: str
    annotations: Path
    images: Path
    photos: int
    people: int
    keypoints: Mapping[str, Sequence[str]]
    problems: Sequence[tuple[str, str]]
    left_out: Mapping[str, int]


def import_labels(
    path: str | Path,
    output: str | Path,
    *,
    format: str = "auto",
    images: str | Path | None = None,
    names: str | None = None,
    overwrite: bool = False,
) -> Imported:
    """Write the labels of another tool as `output`/annotations/person_keypoints.json; frames of videos as photos.

    format: a key of `FORMATS`, or "auto". images: folder of the photos or videos; None: beside the labels. names: see
    `parse_names`. Photos stay where they are, unless there are frames of videos too.
    Raises BpnetError where the labels can't be read, or no photo with a person is left.
    """
    path, output = Path(path), local_path(output)
    check_folder(output)
    target = check_output(output / "annotations" / "person_keypoints.json", ".json", overwrite)
    format = recognise(path) if format == "auto" else format
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    source = complete(FORMATS[format].read(path))
    try:
        source = with_names(source, parse_names(names) if names is not None else None)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    places = place_photos(source.photos, Path(os.path.abspath(images or source.folder)), output)
    problems = [(_shown(source.photos[number]), problem) for number, problem in sorted(places.problems.items())]
    left_out = Counter(source.left_out)
    placed = [
        Placed(
            file.path.relative_to(places.folder).as_posix(),
            file.size,
            list(_kept(source.photos[number], file.size, source.keypoints, left_out)),
        )
        for number, file in places.files.items()
    ]
    people = sum(bool(person.points) for photo in placed for person in photo.people)
    if not people:
        first = f"; {': '.join(problems[0])}" if problems else ""
        raise DataError(f"{path}: no photo with a labelled keypoint is left{first}")
    flush_all(file.path for file in places.files.values() if output in file.path.parents)
    write_coco(target, placed, source.keypoints, source.limbs)
    return Imported(format, target, places.folder, len(placed), people, source.keypoints, problems, left_out)


def _shown(photo: Photo) -> str:
    return photo.name if photo.frame is None else f"{photo.name}, frame {photo.frame}"


def _kept(
    photo: Photo, size: tuple[int, int], keypoints: Mapping[str, Sequence[str]], left_out: Counter[str]
) -> Iterator[Person]:
    """The people of a photo in pixels, with the known keypoints; what is left out is counted.

    Somebody with a box alone is kept: the place is not used in training.
    """
    height, width = size if photo.shares else (1, 1)
    for person in photo.people:
        points = {name: Point(p.x * width, p.y * height, p.visibility) for name, p in person.points.items()}
        known = {name: point for name, point in points.items() if name in keypoints.get(person.label, ())}
        left_out.update(f"points {name!r}, which --names doesn't name" for name in points.keys() - known.keys())
        if person.label not in keypoints:
            left_out[f"of label {person.label!r}, which has no keypoints"] += 1
        elif not known and person.box is None:
            left_out["people without a labelled keypoint"] += 1
        else:
            x, y, w, h = person.box or (0, 0, 0, 0)
            yield Person(person.label, known, (x * width, y * height, w * width, h * height) if person.box else None)
