"""`bpnet benchmark decode` and `bpnet benchmark data`: from a spec to the figures as text or JSON."""

from __future__ import annotations

import json

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


def benchmark_samples(spec: ExperimentSpec, seconds: float, as_json: bool) -> str:
    """Measure how fast a spec's training samples are made, for about `seconds`. Returns the figures as text or JSON.

    Raises BpnetError.
    """
    check_input_size(spec)
    loader = training_loader_of(spec, skeleton_of(spec))
    render = make_renderer(loader, spec.targets.heatmap_sigma_px, spec.targets.paf_half_width_px)
    rows = benchmark_data(loader, render, spec.training.batch_size, spec.training.workers, seconds)
    return json.dumps({"samples": rows}, indent=2) if as_json else as_table(rows)
