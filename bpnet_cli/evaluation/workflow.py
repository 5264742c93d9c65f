"""`bpnet evaluate`: metrics, result files and a report."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from bpnet_cli.errors import BpnetError, hinting
from bpnet_cli.evaluation.coco import MAX_DETECTIONS, METRICS
from bpnet_cli.evaluation.evaluate import Evaluation, evaluate, find_shared, load_labelled
from bpnet_cli.evaluation.report import render_report
from bpnet_cli.evaluation.resample import bootstrap_interval
from bpnet_cli.files import check_folder, write_text
from bpnet_cli.inference.load import load_predictor, spec_of, threads_for_many
from bpnet_cli.pose.skeleton import BODY_18, Skeleton
from bpnet_cli.sharing import ShareOut
from bpnet_cli.spec.dataset import DataSource, Source
from bpnet_cli.spec.experiment import ExperimentSpec


def evaluate_model(
    model_path: str,
    spec: ExperimentSpec | None,
    overrides: Sequence[str],
    images: str | None,
    annotations: str | None,
    results_dir: Path,
    engine: str,
    share: ShareOut | None = None,
    cores: int = 1,
) -> str:
    """Evaluate a model file, write the results to a folder and return a summary.

    The photos are the first of these that is given: `images` and `annotations`; dataset.validation of `spec`;
    dataset.validation of the spec inside the model file.
    overrides: changes to the spec inside the model file, used where `spec` is None. Otherwise `spec` already contains
    them. engine: see `load_predictor`. share: other processes find the people, with so many `cores` each; this one
    counts. Raises BpnetError.
    """
    check_folder(results_dir)
    threads = threads_for_many(model_path, engine)
    predictor = load_predictor(model_path, () if spec else overrides, spec, engine, threads)
    first = ""
    if images and annotations:
        sources: Sequence[Source] = [DataSource(images=images, annotations=annotations)]
        hint = "--images and --annotations"
    else:
        own = spec or spec_of(predictor.backend.metadata, model_path, overrides)
        if not own.dataset.validation_sources:
            raise BpnetError(
                "there are no labelled photos: give --images and --annotations, or set dataset.validation in the spec"
            )
        sources = own.dataset.validation_sources
        origin = "the spec" if spec else "the spec inside the model file"
        hint = f"dataset.validation of {origin}; paths are relative to the working directory"
        first = "" if spec else "give --images and --annotations; the photos of the spec in the model can't be used: "
    with hinting(hint, first):
        labelled = load_labelled(sources, predictor.backend.metadata.skeleton)
    find = None
    if share is not None:
        settings = (model_path, () if spec else overrides, spec, engine, threads_for_many(model_path, engine) or cores)
        find = partial(find_shared, share, load_predictor, settings)
    result = evaluate(predictor, labelled, each_core=threads == 1, find=find)
    low, high = bootstrap_interval(result.scores.matches)
    write_text(results_dir / "metrics.json", json.dumps(metrics_entry(result, low, high), indent=2) + "\n")
    write_text(results_dir / "results.csv", _table(result))
    write_text(results_dir / "coco_results.json", json.dumps(_with_stated_ids(result)))
    write_text(results_dir / "report.html", render_report(result, (low, high), predictor.backend.metadata, model_path))
    metrics = result.scores.metrics
    shown = "  ".join(f"{name} {metrics[name]:.3f}" for name in ("AP", "AP50", "AP75", "APm", "APl", "AR"))
    count = len(labelled.files)
    limbs = ""
    if predictor.backend.metadata.skeleton.limbs:
        limbs = (
            f"limbs: {_percent(result.limbs.precision)} of those that infer would draw are right;"
            f" {_percent(result.limbs.recall)} of the labelled ones are found\n"
        )
    return (
        f"{shown}\n{_constants(predictor.backend.metadata.skeleton)}{_trust(low, high, count)}\n{limbs}"
        f"{count} photos, {count / result.seconds:.1f} per second: {results_dir / 'report.html'}"
    )


def metrics_entry(result: Evaluation, low: float, high: float) -> dict[str, float | int]:
    """The content of `metrics.json`: COCO's ten numbers (-1 where the file labels nobody of that size), limb precision
    and recall (-1 where there are none), counts and seconds.

    low, high: bounds of AP, see `bootstrap_interval`.
    """
    return {
        **result.scores.metrics,
        "AP_low": low,
        "AP_high": high,
        "limb_precision": result.limbs.precision,
        "limb_recall": result.limbs.recall,
        "images": len(result.labelled.files),
        "persons_labelled": sum(len(oks) for oks in result.scores.best_oks.values()),
        "persons_found": len(result.detections),
        "seconds": round(result.seconds, 3),
    }


def _with_stated_ids(result: Evaluation) -> list[dict[str, Any]]:
    """The detections with the photos' ids as the file writes them."""
    stated = result.labelled.truth.stated_ids
    return [{**entry, "image_id": stated.get(entry["image_id"], entry["image_id"])} for entry in result.detections]


def _constants(skeleton: Skeleton) -> str:
    """A line with the OKS constants of a skeleton; empty for body_18, which has COCO's. AP depends on them."""
    if skeleton == BODY_18:
        return ""
    groups: dict[float, list[str]] = {}
    for name, sigma in zip(skeleton.keypoints, skeleton.sigmas, strict=True):
        groups.setdefault(sigma, []).append(name)
    listed = "; ".join(f"{sigma:g} for {', '.join(names)}" for sigma, names in groups.items())
    return f"OKS sigmas of skeleton {skeleton.name}: {listed} (`sigmas` in its file sets them)\n"


def _trust(low: float, high: float, count: int) -> str:
    """A line on how far the AP of `count` photos can be trusted; low, high: see `bootstrap_interval`."""
    if low < 0:
        return f"{count} photos are too few to estimate the AP of other photos of this kind"
    return f"expect AP {low:.3f} to {high:.3f} on {count} other photos of this kind (95 %, bootstrap)"


def _percent(share: float) -> str:
    return "none" if share < 0 else f"{share:.0%}"


def _table(result: Evaluation) -> str:
    """The content of `results.csv`, in TAO's format: metric, IoU, area, maxDets, score."""
    thresholds = {"": "0.50:0.95", "50": "0.50", "75": "0.75", "m": "0.50:0.95", "l": "0.50:0.95"}
    areas = {"m": "medium", "l": "large"}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["metric", "IoU", "area", "maxDets", "score"])
    for name in METRICS:
        kind, suffix = name[:2], name[2:]
        row = [kind, thresholds[suffix], areas.get(suffix, "all"), MAX_DETECTIONS, f"{result.scores.metrics[name]:.6f}"]
        writer.writerow(row)
    return text.getvalue()
