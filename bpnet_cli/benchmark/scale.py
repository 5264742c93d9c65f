"""`bpnet benchmark scale`: what a photo costs one core, and from that what N workers bring on many photos."""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import cv2

from bpnet_cli.benchmark.report import as_table
from bpnet_cli.data.images import decode_image, read_bytes
from bpnet_cli.errors import BpnetError
from bpnet_cli.inference.load import load_predictor
from bpnet_cli.inference.parts import photos_in_a_part
from bpnet_cli.inference.pipeline import one_opencv_thread
from bpnet_cli.inference.predictor import Predictor
from bpnet_cli.inference.results import image_entry
from bpnet_cli.inference.sources import find_inputs, spread
from bpnet_cli.log import progress

_MOST = 64


@dataclass(frozen=True)
class Costs:
    """What one photo costs a worker of one core.

    read, decode, network, people, write: seconds; `read` is from the local disk, `people` groups maps to people.
    megabytes: size of the file.
    """

    read: float
    decode: float
    network: float
    people: float
    write: float
    megabytes: float

    @property
    def work(self) -> float:
        """Seconds without reading."""
        return self.decode + self.network + self.people + self.write


@dataclass(frozen=True)
class Storage:
    """Where photos lie. latency: seconds until the first byte. rate: MB/s of all workers together."""

    latency: float
    rate: float

    def seconds(self, costs: Costs) -> float:
        """Seconds that the transfer of a photo takes where nobody else reads."""
        return costs.megabytes / self.rate


def benchmark_scale(
    model: str,
    images: str,
    storage: tuple[float, float],
    workers: Sequence[int],
    photos: int,
    price: float | None,
    as_json: bool,
) -> str:
    """What N workers of one core bring on so many photos like those of a folder. Returns text or JSON.

    storage: milliseconds until the first byte, and MB/s. price: of a core for an hour. Raises BpnetError.
    """
    costs = measure_costs(model, images)
    rows = scale_rows(costs, Storage(storage[0] / 1e3, storage[1]), workers, photos, price)
    entry = costs_entry(costs)
    if as_json:
        return json.dumps({"costs": entry, "photos": photos, "rows": rows}, indent=2)
    shown = ", ".join(f"{name.removesuffix('_ms')} {value} ms" for name, value in entry.items() if name.endswith("_ms"))
    return f"a photo on one core: {shown}; {entry['megabytes']} MB\n\n{photos} photos:\n\n{as_table(rows)}"


def measure_costs(model: str, images: str) -> Costs:
    """The mean costs of up to 64 photos of a folder on one core. Raises BpnetError."""
    files = [photo.path for photo in spread(find_inputs([images]).photos, _MOST)]
    if not files:
        raise BpnetError(f"{images}: no photos found")
    predictor = replace(load_predictor(model, threads=1), scales=(1.0,), flip=False)
    with one_opencv_thread():
        _costs_of(predictor, files[0])  # the first call prepares the runtime
        rows = [_costs_of(predictor, path) for path in progress(files, len(files), "measuring")]
    return Costs(*(sum(column) / len(rows) for column in zip(*rows, strict=True)))


def _costs_of(predictor: Predictor, path: Path) -> tuple[float, ...]:
    """The fields of `Costs` for one photo."""
    data, read = _timed(read_bytes, path)
    pixels, decode = _timed(decode_image, data, str(path))
    image, turn = _timed(cv2.cvtColor, pixels, cv2.COLOR_BGR2RGB)
    _, network = _timed(predictor.backend.maps, predictor.prepare(image)[0][None])
    people, found = _timed(predictor.predict, image)
    _, write = _timed(json.dumps, image_entry(path.name, image.shape[1], image.shape[0], people))
    return read, decode + turn, network, max(0.0, found - network), write, len(data) / 1e6


def predicted(costs: Costs, storage: Storage, workers: int) -> float:
    """Photos per second of N workers that never wait for work: their own pace, or the storage's."""
    return min(_own_pace(costs, storage, workers), 1 / storage.seconds(costs))


def _own_pace(costs: Costs, storage: Storage, workers: int) -> float:
    return workers / (storage.latency + storage.seconds(costs) + costs.work)


def limit(costs: Costs, storage: Storage, workers: int) -> str:
    """What more or faster of would help most: `storage`, `decode` or `network`."""
    if _own_pace(costs, storage, workers) > 1 / storage.seconds(costs):
        return "storage"
    kinds = {"storage": storage.latency + storage.seconds(costs), "decode": costs.decode, "network": costs.network}
    return max(kinds, key=lambda kind: kinds[kind])


def simulated(costs: Costs, storage: Storage, workers: int, photos: int, start: float, part: float) -> float:
    """Seconds for so many photos, photo by photo: workers take parts in turn and wait for each other's transfers.

    start: seconds until a worker begins. part: seconds that each part costs beside its photos.
    """
    size = photos_in_a_part(photos)
    left = [size] * (photos // size) + ([photos % size] if photos % size else [])
    left.reverse()
    transfer, free, end = storage.seconds(costs), 0.0, 0.0
    # (time at which a worker asks for its next photo, its number, photos left in its part)
    asking = [(start, worker, 0) for worker in range(workers)]
    heapq.heapify(asking)
    while asking:
        now, worker, rest = heapq.heappop(asking)
        if not rest:
            if not left:
                end = max(end, now)
                continue
            rest = left.pop()
            now += part
        free = max(free, now + storage.latency) + transfer
        heapq.heappush(asking, (free + costs.work, worker, rest - 1))
    return end


def scale_rows(
    costs: Costs, storage: Storage, workers: Sequence[int], photos: int, price: float | None
) -> list[dict[str, Any]]:
    """A row for each number of workers: photos per second, hours for all photos, the limit, and what it costs.

    price: of a core for an hour.
    """
    rows = []
    for count in workers:
        rate = predicted(costs, storage, count)
        hours = photos / rate / 3600
        row = {
            "workers": count,
            "photos_per_second": round(rate, 2),
            "hours": round(hours, 2),
            "limited_by": limit(costs, storage, count),
        }
        rows.append(row | ({} if price is None else {"cost": round(hours * count * price, 2)}))
    return rows


def costs_entry(costs: Costs) -> dict[str, float]:
    """The costs in milliseconds (`read_ms`, ...) and megabytes."""
    entry = asdict(costs)
    size = entry.pop("megabytes")
    return {**{f"{name}_ms": round(1e3 * value, 2) for name, value in entry.items()}, "megabytes": round(size, 3)}


def _timed(work: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work(*arguments)
    return result, time.perf_counter() - start
