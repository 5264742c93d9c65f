from pathlib import Path

import numpy as np

from bpnet_cli import decode


def test_a_trained_networks_maps_decode_to_the_stored_people() -> None:
    with np.load(Path(__file__).with_name("decoder.npz")) as golden:
        persons = decode(golden["heatmaps"], golden["pafs"])
        found = np.stack([person.keypoints for person in persons])
        np.testing.assert_allclose(found, golden["keypoints"], atol=0.01)
        np.testing.assert_allclose([person.score for person in persons], golden["scores"], rtol=1e-4)
