"""Benchmark figures as text and as a plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_SIZE = (560, 320)
# Longest name of a model in a table, in characters, so that the table's lines have at most 100.
_NAME = 20


def as_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table; all rows must have the same keys, which become the header."""
    names = list(rows[0])
    cells = [names, *[[str(row[name]) for name in names] for row in rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    lines = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def describe_training(figures: Mapping[str, Any]) -> str:
    """The result of `benchmark_train` as text."""
    rows = [
        {
            "work": kind,
            "ms per step": milliseconds,
            "CPU ms per step": figures["cpu_ms_per_step"][kind],
            "images/s": figures["images_per_second"][kind],
        }
        for kind, milliseconds in figures["ms_per_step"].items()
    ]
    what = f"{figures['network']}, {figures['input']}, batch {figures['batch_size']}, {figures['precision']}"
    conclusions = [
        f"overhead: {figures['overhead']:.3f} (time of a step of bpnet train / time of the bare step;"
        f" {figures['cpu_overhead']:.3f} in CPU time)",
        f"bottleneck: {figures['bottleneck']}",
    ]
    return "\n\n".join([f"{what}; {figures['steps']} steps of each kind", as_table(rows), "\n".join(conclusions)])


def describe_inference(figures: Mapping[str, Any]) -> str:
    """The result of `benchmark_infer` as text."""
    parts = [_inference_table("network alone", figures["network"])]
    if figures["end_to_end"]:
        parts.append(_inference_table(f"photo file to people, {figures['photos']} photos", figures["end_to_end"]))
    if figures.get("pace"):
        rows = [
            {
                "infer on": f"{row['number']} {row['what']}",
                "network alone, per s": row["network_per_second"],
                "infer, per s": row["infer_per_second"],
                "ratio": row["ratio"],
            }
            for row in figures["pace"]
        ]
        parts.append(f"pace of infer, with reading, drawing and writing\n\n{as_table(rows)}")
    return "\n\n".join(parts)


def _inference_table(what: str, rows: Sequence[Mapping[str, Any]]) -> str:
    names = model_names(list(dict.fromkeys(row["model"] for row in rows)))
    cells = [
        {
            "model": names[row["model"]],
            "engine": row["engine"],
            "size": f"{row['height']}x{row['width']}",
            "batch": row["batch"],
            **{key.removesuffix("_ms"): f"{row[key]:.4g}" for key in row if key.endswith("_ms")},
            "images/s": f"{row['images_per_second']:.4g}",
            "ratio": "-" if row["ratio"] is None else f"{row['ratio']:.2f}",
        }
        for row in rows
    ]
    return f"{what}: ms per photo (percentiles of {rows[0]['runs']} runs)\n\n{as_table(cells)}"


def model_names(paths: Sequence[str]) -> dict[str, str]:
    """A short name for each path: the file's name, without its beginning where it is long.

    Names that would be the same begin with the number of the path.
    """
    short = {path: name if len(name := Path(path).name) <= _NAME else f"..{name[-_NAME + 2 :]}" for path in paths}
    times = Counter(short.values())
    return {
        path: f"{number} {short[path][-_NAME + 3 :]}" if times[short[path]] > 1 else short[path]
        for number, path in enumerate(paths, start=1)
    }


def plot_crowds(rows: Sequence[Mapping[str, Any]]) -> str:
    """An SVG plot of milliseconds by number of people, decoding and upsampling. rows: see `benchmark_crowds`."""
    width, height = _SIZE
    most_people = max(row["people"] for row in rows)
    most_ms = 1.1 * max(max(row["decode_ms"], row["upsample_ms"]) for row in rows)
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='-60 -20 {width + 90} {height + 70}' width='{width + 90}'"
        " font-family='sans-serif' font-size='13'>",
        f"<rect x='-60' y='-20' width='{width + 90}' height='{height + 70}' fill='white'/>",
        f"<rect width='{width}' height='{height}' fill='none' stroke='#c8d0d8'/>",
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f"<text x='-8' y='{height * (1 - share) + 4}' text-anchor='end'>{share * most_ms:.1f}</text>")
    for row in rows:
        x = row["people"] / most_people * width
        parts.append(f"<text x='{x:.1f}' y='{height + 18}' text-anchor='middle'>{row['people']}</text>")
    for key, label, colour in (("upsample_ms", "x8 upsampling alone", "#d55e00"), ("decode_ms", "decode", "#0072b2")):
        points = [(r["people"] / most_people * width, height * (1 - r[key] / most_ms)) for r in rows]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f"<polyline points='{path}' fill='none' stroke='{colour}' stroke-width='2'/>")
        parts.append(f"<text x='12' y='{points[0][1] - 8:.1f}' fill='{colour}'>{label}</text>")
    parts.append(f"<text x='{width / 2}' y='{height + 40}' text-anchor='middle'>people on 736 x 1312 pixels</text>")
    parts.append("<text x='-50' y='-6'>ms, one thread</text></svg>")
    return "\n".join(parts) + "\n"
