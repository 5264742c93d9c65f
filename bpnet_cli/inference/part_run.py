"""Running the parts of `bpnet infer`: those of one process of several, or all of them in other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.load import load_predictor, spec_of, threads_for_many
from bpnet_cli.inference.options import InferRequest
from bpnet_cli.inference.outputs import DETECTIONS
from bpnet_cli.inference.parts import Part, Plan, begin, make_plan, part_name
from bpnet_cli.inference.photo_results import write_results
from bpnet_cli.inference.photo_run import infer_photos
from bpnet_cli.inference.pipeline import core_count
from bpnet_cli.inference.results import model_entry, skeleton_entry
from bpnet_cli.inference.run import Run
from bpnet_cli.inference.summary import Summary
from bpnet_cli.inference.workflow import checked_inputs, ended, infer_videos, running
from bpnet_cli.log import progress, say
from bpnet_cli.models.formats import format_of
from bpnet_cli.sharing import ShareOut


def infer_shard(request: InferRequest, shard: tuple[int, int]) -> Summary:
    """Run a model on the parts of one process of several, and write their files.

    shard: number of this process, from 0, and number of processes: it takes every n-th part. The rest is as in
    `infer_inputs`. Parts that are finished already are not done again. After Ctrl-C, unfinished parts are left out.
    """
    plan = planned(request)
    index, count = shard
    mine = [part for place, part in enumerate(plan.parts) if place % count == index]
    missing = to_do(plan, mine)
    threads = threads_for_many(request.model, request.engine)
    predictor = load_predictor(request.model, request.overrides, engine=request.engine, threads=threads)
    with running(predictor, request, core_count()) as run:
        run_parts(missing, run)
    summary = run.summary
    if missing and not summary.stopped:
        summary.written.append(f"{len(missing)} of {len(plan.parts)} parts, {shown_parts(plan)}")
    return ended(summary, predictor)


def planned(request: InferRequest) -> Plan:
    """The parts of a run, after `parts.json` is written. Raises BpnetError, see `infer_inputs`."""
    inputs, model = checked_inputs(request), request.model
    if not inputs.photos and not inputs.videos:
        ended(Summary(failed=list(inputs.problems)))
    # Without loading the network, because a driver of many processes doesn't run it.
    metadata = format_of(model).metadata(model) or load_predictor(model, engine=request.engine).backend.metadata
    spec_of(metadata, model, request.overrides)
    head = {"model": model_entry(metadata, model), "skeleton": skeleton_entry(metadata.skeleton)}
    plan = make_plan(inputs, request, head)
    begin(plan, inputs)
    return plan


def to_do(plan: Plan, parts: Sequence[Part]) -> list[Part]:
    """Those of the parts that are not finished; says how many are."""
    missing = plan.missing(parts)
    if len(missing) < len(parts):
        say(f"{plan.results_dir}: {len(parts) - len(missing)} of {len(parts)} parts are finished already")
    return missing


def shown_parts(plan: Plan) -> str:
    """The names of the parts' files, with a wildcard, for messages."""
    return str(plan.results_dir / part_name(DETECTIONS, "*", len(plan.parts), ".jsonl"))


def run_parts(parts: Sequence[Part], run: Run) -> None:
    """Find the people of parts and write their files; counts and failures go to the run's summary."""
    summary = run.summary
    summary.failed += [failure for part in parts for failure in part.photos.problems]
    infer_photos([part.photos for part in parts if part.photos.photos], run)
    for part in parts:
        if part.video is None:
            continue
        video, files = part.video
        before = len(summary.failed)
        infer_videos([video], [files], run)
        if summary.stopped:
            return
        write_results(part.photos, [], [*part.photos.problems, *summary.failed[before:]], run)


def infer_shared(request: InferRequest, cores: int, share: ShareOut) -> Summary:
    """Run a model on all inputs in other processes; results are parts, see `parts`. Finished parts are not done again.

    Paths of inputs, model and results must mean the same on all machines. cores: of each process. The rest is as in
    `infer_inputs`.
    """
    if request.options.show:
        raise BpnetError("--show: other processes have no window; leave it out")
    plan = planned(request)
    missing = to_do(plan, plan.parts)
    total = Summary()
    photos = sum(_count(part) for part in missing)
    try:
        finished = share(_finder, (request, cores), missing)
        for _ in progress(_each_photo(finished, total), photos, "photos and videos"):
            pass
    except KeyboardInterrupt:
        total.stopped = f"stopped after {total.photos} of {photos} photos and videos; the same line goes on"
    if missing:
        done = len(missing) - len(plan.missing(missing))
        total.written.append(f"{done} of {len(plan.parts)} parts, {shown_parts(plan)}")
    return ended(total)


def _each_photo(finished: Iterator[tuple[int, Summary]], total: Summary) -> Iterator[None]:
    """Yield once for each photo or video of the parts that are finished, and add their counts to `total`."""
    for count, summary in finished:
        for name in ("photos", "frames", "persons", "weaker"):
            setattr(total, name, getattr(total, name) + getattr(summary, name))
        total.failed += summary.failed
        for _ in range(count):
            yield


def _count(part: Part) -> int:
    return len(part.photos.photos) or 1


def _finder(request: InferRequest, cores: int) -> Callable[[Part], tuple[int, Summary]]:
    """What a worker does with a part."""
    threads = threads_for_many(request.model, request.engine) or cores
    predictor = load_predictor(request.model, request.overrides, engine=request.engine, threads=threads)

    def find(part: Part) -> tuple[int, Summary]:
        with running(predictor, request, cores) as run:
            run_parts([part], run)
        return _count(part), run.summary

    return find
