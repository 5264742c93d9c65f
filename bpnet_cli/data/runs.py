"""COCO's compressed run lengths, checked before pycocotools decodes them: its C code ends the process on wrong ones."""

from __future__ import annotations

# Digits of a number at most: 7 x 5 bits.
_DIGITS = 7


def check_run_list(counts: list[object], height: int, width: int) -> None:
    """Raise ValueError where run lengths that are not compressed are more than height x width pixels.

    Fewer are no fault: the rest is taken as outside of the region.
    """
    total = 0
    for run in counts:
        if not isinstance(run, int) or isinstance(run, bool) or run < 0:
            raise ValueError(f"its counts must be whole numbers from 0 (got {run!r})")
        total += run
    if total > height * width:
        raise ValueError(f"its run lengths have {total} pixels, the image has {height * width}")


def check_runs(counts: object, height: int, width: int) -> None:
    """Raise ValueError where compressed run lengths don't fill height x width pixels.

    counts: as `rleToString` of COCO's `maskApi.c` writes them.
    """
    text = counts.encode() if isinstance(counts, str) else counts
    if not isinstance(text, bytes):
        raise ValueError(f"its counts are {type(counts).__name__}, not text")
    runs = [0, 0]  # a number is a difference to the run before the last one, beginning with the fourth
    total = place = 0
    while place < len(text):
        value = digits = 0
        more = True
        while more:
            if place == len(text) or digits == _DIGITS or not 48 <= text[place] < 112:
                raise ValueError("its counts are no run lengths")
            digit = text[place] - 48
            value |= (digit & 31) << 5 * digits
            more = bool(digit & 32)
            place, digits = place + 1, digits + 1
        if digit & 16:
            value -= 1 << 5 * digits
        if len(runs) > 4:
            value += runs[-2]
        if value < 0:
            raise ValueError("its counts have a negative run length")
        runs.append(value)
        total += value
    if total != height * width:
        raise ValueError(f"its run lengths have {total} pixels, the image has {height * width}")
