"""Makes decoder.npz: a trained network's maps of a drawn photo, and the people that `decode` finds in them.

usage: python tests/golden/make_decoder_golden.py QUICKSTART.keras

Rerun when the decoder is meant to answer otherwise; the maps change only with the model. Look at the difference first.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np

from bpnet_cli import decode, load_predictor
from bpnet_cli.data.synthetic import generate
from bpnet_cli.inference.photo_files import read_photo

SEED, PEOPLE = 11, (4, 4)


def main(model: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        generate(folder, 1, people=PEOPLE, seed=SEED)
        photo = read_photo(Path(folder) / "images" / "000000000001.jpg")
    predictor = load_predictor(model)
    canvas, _ = predictor.prepare(photo)
    heatmaps, pafs = (maps[0].astype(np.float16) for maps in predictor.backend.maps(canvas[None]))
    persons = decode(heatmaps, pafs)
    np.savez_compressed(
        Path(__file__).with_name("decoder.npz"),
        heatmaps=heatmaps,
        pafs=pafs,
        keypoints=np.stack([person.keypoints for person in persons]),
        scores=np.array([person.score for person in persons]),
    )
    print(f"{len(persons)} people, scores {[round(person.score, 2) for person in persons]}")


if __name__ == "__main__":
    main(sys.argv[1])
