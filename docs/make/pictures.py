"""Makes the pictures of the documentation from the product itself: python docs/make/pictures.py --photos DIR."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path

import decoder
import gallery
import networks
import plots
import skeletons
from canvas import Image, jpeg, read_photo

from bpnet_cli import Predictor, load_predictor

QUALITIES = (85, 80, 75)  # of JPEG files; the first one that makes a picture small enough
LARGEST = 150_000  # bytes of a picture
LARGEST_SUM = 1_200_000  # bytes of all pictures


class Maker:
    """Makes each picture. What several pictures need is made once."""

    def __init__(self, photos: Path, scratch: Path) -> None:
        self.photos = photos
        self.scratch = scratch
        self.predictor: Predictor = load_predictor()
        self.astronaut = cache(lambda: decoder.trace(self.predictor, self.photo("astronaut.png")))

    def photo(self, name: str) -> Image:
        """One of scikit-image's photos."""
        return read_photo(str(self.photos / name))

    def pictures(self) -> dict[str, Callable[[], Image | str]]:
        """The file names of all pictures, and what makes them."""
        return {
            "decoder_maps.jpg": lambda: decoder.maps_picture(self.astronaut()),
            "decoder_peaks.jpg": lambda: decoder.vectors_picture(self.astronaut(), (120, 95, 320, 295)),
            "decoder_people.jpg": lambda: decoder.people_picture(self.astronaut()),
            "decoder_crowd.jpg": self._crowd,
            "decoder_subcell.svg": lambda: plots.subcell_plot(self.astronaut()),
            "decoder_samples.svg": lambda: plots.samples_plot(self.astronaut()),
            "network_bodyposenet.svg": _bodyposenet,
            "network_box.svg": _box,
            "training_sheet.jpg": lambda: gallery.training_sheet(self.scratch / "sheet"),
            "tracking.jpg": lambda: gallery.tracking_picture(self.scratch / "tracking"),
            "skeletons.jpg": skeletons.skeletons_picture,
            "find_people.jpg": self._people,
        }

    def _crowd(self) -> Image:
        found = decoder.trace(self.predictor, gallery.crowd_photo(self.scratch / "crowd"))
        return decoder.rivals_picture(found, ("right_shoulder", "right_elbow"), (30, 70, 290, 330))

    def _people(self) -> Image:
        return gallery.found_people(self.predictor, [self.photo("astronaut.png"), self.photo("camera.png")])


def _bodyposenet() -> str:
    from bpnet_cli.build import network_of, skeleton_of
    from bpnet_cli.spec.loader import load_spec
    from bpnet_cli.spec.shipped import find_spec

    spec = load_spec(find_spec("bodyposenet_vgg19_coco"))
    return networks.network_diagram(network_of(spec, skeleton_of(spec)), networks.BODYPOSENET)


def _box() -> str:
    from bpnet_cli.box import box_keras
    from bpnet_cli.models.model_file import load_network

    return networks.network_diagram(load_network(box_keras())[0], networks.BOX)


def write_pictures(maker: Maker, output: Path, only: Iterable[str]) -> None:
    """Write the pictures into a folder, all or those named. Raises ValueError for one that is too large."""
    output.mkdir(parents=True, exist_ok=True)
    for name, make in maker.pictures().items():
        if only and name not in only:
            continue
        picture = make()
        versions = [picture.encode()] if isinstance(picture, str) else [jpeg(picture, quality) for quality in QUALITIES]
        content = next((version for version in versions if len(version) <= LARGEST), None)
        if content is None:
            raise ValueError(f"{name}: {len(versions[-1]):,} bytes, more than {LARGEST:,}")
        (output / name).write_bytes(content)
        print(f"{output / name}: {len(content):,} bytes")
    if (total := sum(path.stat().st_size for path in output.iterdir())) > LARGEST_SUM:
        raise ValueError(f"{output}: {total:,} bytes, more than {LARGEST_SUM:,}")


def main() -> None:
    """Read the command line and make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--photos", type=Path, required=True, help="folder with scikit-image's astronaut.png, camera.png"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path("docs/pictures"), help="folder for the pictures")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="make only these pictures")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        write_pictures(Maker(words.photos, Path(scratch)), words.output, words.only)


if __name__ == "__main__":
    main()
