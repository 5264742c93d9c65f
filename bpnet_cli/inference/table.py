"""People as rows of a CSV table, one row for each person in each photo or frame."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

from bpnet_cli.inference.results import person_entry
from bpnet_cli.pose.person import Person
from bpnet_cli.pose.skeleton import Skeleton

# First characters of a formula in spreadsheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
Cell = str | int | float | None


def csv_header(skeleton: Skeleton) -> list[str]:
    """Names of the columns: file, frame, seconds, id, score, the box, and x, y, score of each keypoint."""
    box = [f"box_{side}" for side in ("x", "y", "width", "height")]
    keypoints = [f"{name}_{value}" for name in skeleton.keypoints for value in ("x", "y", "score")]
    return ["file", "frame", "seconds", "id", "score", *box, *keypoints]


def csv_rows(file: str, frame: int | None, seconds: float | None, persons: Sequence[Person]) -> list[list[Cell]]:
    """One row for each person, with the numbers of `detections.json`. None, an empty cell: absent or unknown.

    file: the photo's or video's name in the results. `./` stands before a name that a spreadsheet would take for a
    formula; it means the same file. frame: from 0; None for a photo. seconds: its time in the video.
    """
    file = f"./{file}" if file.startswith(_FORMULA) else file
    rows: list[list[Cell]] = []
    for person in persons:
        entry = person_entry(person)
        keypoints = [value for point in entry["keypoints"] for value in (point or (None, None, None))]
        rows.append([file, frame, seconds, person.id, entry["score"], *entry["box"], *keypoints])
    return rows


def csv_text(rows: Iterable[Sequence[Cell]]) -> str:
    r"""Rows as RFC 4180 has them; lines end with \r\n, so open the file with newline="".

    In names that are not UTF-8, each unknown byte is written as in `detections.json`: \udce9 for the byte e9.
    """
    lines = io.StringIO()
    csv.writer(lines).writerows(rows)
    return lines.getvalue().encode("utf-8", "backslashreplace").decode("utf-8")
