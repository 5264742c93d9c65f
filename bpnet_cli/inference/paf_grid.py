"""Moves PAFs to the heatmaps' grid, for networks that have different grids for PAFs and heatmaps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.pose.averaging import resample_maps


def on_the_heatmaps_grid(pafs: NDArray[np.float32], metadata: ModelMetadata) -> NDArray[np.float32]:
    """(B, h, w, 2L) float32 PAFs of a network, moved to the centres of the heatmaps' cells.

    In NVIDIA's networks, cell j of the PAFs is for pixel 8j (`paf_offset_px` -3.5), but cell j of the heatmaps is for
    pixel 8j + 3.5. So the PAFs are read 3.5 pixels (0.4375 cells) further to the right and further down. Beyond the
    edge, the last cell is repeated. Without an offset, the result is `pafs` itself.
    """
    offset = metadata.paf_offset_px
    if not offset:
        return pafs
    matrix = np.array([[1.0, 0.0, -offset], [0.0, 1.0, -offset]])
    rows, columns = pafs.shape[1:3]
    return np.stack([resample_maps(each, rows, columns, matrix, metadata.stride) for each in pafs])
