"""`bpnet benchmark decode` and `bpnet benchmark data`: from a spec to the figures as text or JSON."""

from __future__ import annotations

import json
from math import ceil

from bpnet_cli.benchmark.data import benchmark_data, make_renderer
from bpnet_cli.benchmark.decode import benchmark_crowds, benchmark_rendered, benchmark_stored, one_thread
from bpnet_cli.benchmark.report import as_table, plot_crowds
from bpnet_cli.build import check_input_size, decode_options_of, skeleton_of, training_loader_of
from bpnet_cli.files import write_text
from bpnet_cli.spec.experiment import ExperimentSpec


def benchmark_decode(
    spec: ExperimentSpec,
    annotations: str | None,
    maps: str | None,
    size: tuple[int, int],
    plot: str | None,
    as_json: bool,
) -> str:
    """Measure the decoder with a spec's thresholds and skeleton. Returns the figures as text or JSON.

    annotations: COCO file, for maps rendered from labels at `size` (height, width) in pixels. maps: `.npz` file of
    stored maps of the same photos. plot: SVG file to write, with the times of the crowds. Raises BpnetError.
    """
    skeleton, options = skeleton_of(spec), decode_options_of(spec)
    one_thread()
    photos = []
    if annotations:
        photos.append(benchmark_rendered(annotations, skeleton, options, *size))
    if annotations and maps:
        photos.append(benchmark_stored(maps, annotations, skeleton, options))
    crowds = benchmark_crowds(skeleton, options)
    if plot:
        write_text(plot, plot_crowds(crowds))
    if as_json:
        return json.dumps({"photos": photos, "crowds": crowds}, indent=2)
    return "\n\n".join(as_table(rows) for rows in (photos, crowds) if rows)


def benchmark_samples(spec: ExperimentSpec, seconds: float, as_json: bool, rate: float | None = None) -> str:
    """Measure how fast a spec's training samples are made, for about `seconds`. Returns the figures as text or JSON.

    rate: images/s of an accelerator; also tells how many cores feed it. Raises BpnetError.
    """
    check_input_size(spec)
    loader = training_loader_of(spec, skeleton_of(spec))
    render = make_renderer(loader, spec.targets.heatmap_sigma_px, spec.targets.paf_half_width_px)
    rows = benchmark_data(loader, render, spec.training.batch_size, spec.training.workers, seconds)
    # Targets are rendered by the accelerator, so the cores have the pipeline alone.
    a_core = next(1e3 / row["cpu_ms"] for row in rows if row["work"] == "pipeline")
    feed = {"images_per_second_and_core": round(a_core, 1)}
    if rate is not None:
        feed |= {"accelerator_images_per_second": rate, "cores_needed": ceil(rate / a_core)}
    if as_json:
        return json.dumps({"samples": rows, "feed": feed}, indent=2)
    line = f"one core makes {a_core:.0f} samples/s"
    if rate is not None:
        line += f"; an accelerator that trains on {rate:g} images/s needs {feed['cores_needed']} cores"
    return f"{as_table(rows)}\n\n{line}"
