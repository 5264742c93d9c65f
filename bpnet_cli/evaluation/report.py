"""`report.html`: the report as one file, which loads nothing from the network."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from bpnet_cli.data.labels import Image
from bpnet_cli.data.photos import people_of
from bpnet_cli.evaluation.coco import METRICS, Scores, without_area
from bpnet_cli.evaluation.evaluate import Evaluation
from bpnet_cli.evaluation.keypoints import RIGHT
from bpnet_cli.evaluation.limbs import TOLERANCE
from bpnet_cli.evaluation.resample import ap_by_people
from bpnet_cli.inference.draw import draw_persons
from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.pose.person import labelled_persons
from bpnet_cli.pose.skeleton import Skeleton

_WORST_PHOTOS = 12
_THUMBNAIL_PX = 420
_PLOT = (460, 300)
_LEGEND = (
    "OKS (0 to 1) measures how near a person's keypoints are to the labels, relative to the person's size. A person"
    " counts as found where its OKS is at least a threshold. AP is the mean precision over all recalls, averaged over"
    " the thresholds .50 to .95 (AP50 and AP75: that threshold only). AR is the largest recall, averaged in the same"
    " way. m: people with an area of 32 x 32 to 96 x 96 pixels; l: larger people."
)
_KEYPOINTS = (
    "Each labelled person is compared with the detection that fits it best. Right: share of the labelled keypoints"
    f" whose similarity (OKS of one keypoint) is at least {RIGHT:g}. Missed: number of keypoints that the detection"
    " lacks. Distance: median distance of the keypoints that are not missed, divided by the root of the person's area."
    " Sigma: the skeleton's OKS constant; a larger one allows a larger distance. AP values of skeletons with different"
    " constants can't be compared."
)
_LIMBS = (
    "A limb is drawn as infer would draw it: for people with a score of at least inference.min_person_score, between"
    " keypoints with a score of at least inference.min_drawn_score. A drawn limb is right where both ends are near the"
    f" ends of the same labelled person: within {TOLERANCE:g} x the root of the person's area. Precision: share of"
    " the drawn limbs that are right. Recall: share of the labelled limbs that are found in this way. A limb that is"
    " visible but not labelled counts as wrong."
)
_WORST = (
    "Labels on the left, detections on the right. A person's left side is blue, the right side orange, the middle green"
    " and yellow. The first photos are those where people with a low OKS take up most of the photo."
)
_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#1c2733}"
    "table{border-collapse:collapse}td,th{padding:.25em .9em;border-bottom:1px solid #dde3e8;text-align:right}"
    "td:first-child,th:first-child{text-align:left}figure{display:inline-block;margin:.5em;vertical-align:top}"
    "figcaption{font-size:13px;color:#556}img{border-radius:4px}svg text{font-size:12px;fill:#556}"
)


def render_report(result: Evaluation, interval: tuple[float, float], metadata: ModelMetadata, model_path: str) -> str:
    """The report as HTML: metrics, tables, precision by recall, and the photos with the worst detections.

    interval: bounds of AP, see `bootstrap_interval`. model_path: the model file, as the user gave it.
    """
    metrics = result.scores.metrics
    cells = "".join(f"<td>{_number(metrics[name])}</td>" for name in METRICS)
    names = "".join(f"<th>{name}</th>" for name in METRICS)
    oks = np.concatenate([np.zeros(0), *result.scores.best_oks.values()])
    people = len(oks)
    found = f"{(oks >= 0.5).sum()} of {people} labelled people are found with an OKS of at least .50." if people else ""
    bounds = f"AP of other photos of this kind: {interval[0]:.3f} to {interval[1]:.3f} (95 %, bootstrap over photos)."
    if interval[0] < 0:
        bounds = "There are too few photos to estimate the AP of other photos of this kind."
    title = f"{metadata.spec.get('name', 'model')}: AP {_number(metrics['AP'])}"
    return "\n".join(
        [
            f"<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title><style>{_STYLE}</style>",
            f"<h1>{html.escape(title)}</h1>",
            f"<p>{html.escape(model_path)}, bpnet {html.escape(metadata.version)}, skeleton"
            f" {html.escape(metadata.skeleton.name)}; {len(result.labelled.files)} photos of"
            f" {html.escape(str(result.labelled.truth.path))}</p>",
            f"<table><tr>{names}</tr><tr>{cells}</tr></table><p>{bounds} {found}</p><p>{_LEGEND}</p>",
            f"<p>{html.escape(without_area(result.labelled.truth))}</p>",
            "<h2>Keypoints</h2>",
            _keypoint_table(result, metadata.skeleton),
            "<h2>Limbs</h2>",
            _limb_table(result, metadata.skeleton),
            "<h2>AP by number of people</h2>",
            _people_table(result),
            "<h2>Precision by recall</h2>",
            _precision_plot(result.scores.precision),
            f"<h2>Photos to look at first</h2><p>{_WORST}</p>",
            *_worst_photos(result, metadata.skeleton),
        ]
    )


def _people_table(result: Evaluation) -> str:
    groups = ap_by_people(result.scores.matches)
    rows = "".join(f"<tr><td>{name}</td><td>{photos}</td><td>{ap:.3f}</td></tr>" for name, photos, ap in groups)
    return f"<table><tr><th>labelled in a photo</th><th>photos</th><th>AP</th></tr>{rows}</table>"


def _keypoint_table(result: Evaluation, skeleton: Skeleton) -> str:
    scores = result.keypoints
    rows = []
    for k, (name, sigma) in enumerate(zip(skeleton.keypoints, skeleton.sigmas, strict=True)):
        labelled, right, missed = (int(part[k]) for part in (scores.labelled, scores.right, scores.missed))
        share = _number(right / labelled if labelled else -1.0)
        distance = _number(np.nan_to_num(scores.distance[k], nan=-1.0))
        cells = "".join(f"<td>{value}</td>" for value in (f"{sigma:g}", labelled, share, missed, distance))
        rows.append(f"<tr><td>{html.escape(name)}</td>{cells}</tr>")
    titles = ("keypoint", "sigma", "labelled", "right", "missed", "distance")
    head = "".join(f"<th>{title}</th>" for title in titles)
    return f"<p>{_KEYPOINTS}</p><table><tr>{head}</tr>{''.join(rows)}</table>"


def _limb_table(result: Evaluation, skeleton: Skeleton) -> str:
    """Precision and recall of all limbs together, and of each limb."""
    limbs = result.limbs
    total = f"<tr><td>all</td><td>{_number(limbs.precision)}</td><td>{_number(limbs.recall)}</td>"
    rows = [f"{total}<td>{limbs.drawn.sum()}</td><td>{limbs.labelled.sum()}</td></tr>"]
    for limb, (start, end) in enumerate(skeleton.limbs):
        drawn, right, labelled, found = (part[limb] for part in (limbs.drawn, limbs.right, limbs.labelled, limbs.found))
        precision, recall = (_number(a / b if b else -1.0) for a, b in ((right, drawn), (found, labelled)))
        cells = f"<td>{precision}</td><td>{recall}</td><td>{drawn}</td><td>{labelled}</td>"
        rows.append(f"<tr><td>{html.escape(f'{start} - {end}')}</td>{cells}</tr>")
    head = "<tr><th>limb</th><th>precision</th><th>recall</th><th>drawn</th><th>labelled</th></tr>"
    return f"<p>{_LIMBS}</p><table>{head}{''.join(rows)}</table>"


def _number(value: float) -> str:
    return "n/a" if value < 0 else f"{value:.3f}"


def _precision_plot(precision: NDArray[np.float64]) -> str:
    """Precision by recall for OKS .50, .75 and .90, as an SVG. precision: see `Scores`."""
    width, height = _PLOT
    parts = [f"<svg viewBox='-60 -10 {width + 80} {height + 50}' width='{width + 80}'>"]
    parts.append(f"<rect width='{width}' height='{height}' fill='none' stroke='#c8d0d8'/>")
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f"<text x='{tick * width - 8}' y='{height + 18}'>{tick:g}</text>")
        parts.append(f"<text x='-34' y='{height * (1 - tick) + 4}'>{tick:g}</text>")
    for row, label, colour in ((0, "OKS .50", "#0072b2"), (5, "OKS .75", "#009e73"), (8, "OKS .90", "#d55e00")):
        values = np.nan_to_num(precision[row])
        points = " ".join(f"{i / 100 * width:.1f},{height * (1 - v):.1f}" for i, v in enumerate(values))
        parts.append(f"<polyline points='{points}' fill='none' stroke='{colour}' stroke-width='2'/>")
        parts.append(f"<text x='{width - 70}' y='{20 + 16 * (row // 4)}' style='fill:{colour}'>{label}</text>")
    parts.append(f"<text x='{width / 2 - 20}' y='{height + 36}'>recall</text>")
    parts.append(f"<text transform='translate(-44 {height / 2 + 28}) rotate(-90)'>precision</text></svg>")
    return "".join(parts)


def worst_photos(scores: Scores, images: Mapping[int, Image]) -> list[int]:
    """Ids of the photos with labelled people, the worst photo first.

    A photo is as bad as the sum of area x (1 - OKS) of its people, divided by the photo's area. Without the areas,
    photos of people who are hardly visible would come first. images: by id.
    """
    lost = {
        i: float(((1 - oks) * scores.areas[i]).sum() / (images[i].width * images[i].height))
        for i, oks in scores.best_oks.items()
        if len(oks)
    }
    return sorted(lost, key=lambda i: (-lost[i], i))


def _worst_photos(result: Evaluation, skeleton: Skeleton) -> list[str]:
    figures = []
    for image_id in worst_photos(result.scores, result.labelled.truth.images)[:_WORST_PHOTOS]:
        photo = result.labelled.files[image_id].rgb()
        labels = draw_persons(photo, labelled_persons(people_of(result.labelled.truth, image_id, skeleton)), skeleton)
        found = draw_persons(photo, result.shown[image_id], skeleton)
        name = result.labelled.truth.images[image_id].file_name
        caption = f"{name}: mean OKS {result.scores.best_oks[image_id].mean():.2f}"
        figures.append(
            f"<figure>{_picture(np.hstack([labels, found]))}<figcaption>{html.escape(caption)}</figcaption></figure>"
        )
    return figures


def _picture(image: NDArray[np.uint8]) -> str:
    height, width = image.shape[:2]
    scale = min(1.0, 2 * _THUMBNAIL_PX / width)
    small = cv2.resize(image, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 82])
    return f"<img src='data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}' alt=''>"
