"""PAFs brought onto the heatmaps' grid, where a network's own lie beside it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bpnet_cli.models.metadata import ModelMetadata
from bpnet_cli.pose.averaging import resample_maps


def on_the_heatmaps_grid(pafs: NDArray[np.float32], metadata: ModelMetadata) -> NDArray[np.float32]:
    """(B, h, w, 2L) PAFs of a network as they would be at the centres of the heatmaps' cells.

    NVIDIA's networks give for cell j the vector at pixel 8j (`paf_offset_px` -3.5), where heatmaps mean 8j + 3.5: the
    result is read 3.5 pixels, 0.4375 cells, further right and down. Cells beyond the edge repeat the last.
    """
    offset = metadata.paf_offset_px
    if not offset:
        return pafs
    matrix = np.array([[1.0, 0.0, -offset], [0.0, 1.0, -offset]])
    rows, columns = pafs.shape[1:3]
    return np.stack([resample_maps(each, rows, columns, matrix, metadata.stride) for each in pafs])
