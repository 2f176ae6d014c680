"""Anchors on a grid, equal to the exporter's to the last bit.

Sources: `object_detection/anchor_generators/grid_anchor_generator.py`,
`object_detection/core/box_list.py`. The order of operations and the precision of each are theirs.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
# Of each anchor in a cell: its scale and its aspect ratio (width / height).
Specs = list[tuple[float, float]]
Pair = Sequence[np.float32]


def corners(
    grid: tuple[int, int], specs: Specs, base: Pair, strides: Pair, offsets: Pair
) -> Float32:
    """The anchors `specs` at each cell of a grid, as low and high corners.

    Args:
        grid: height and width in cells.
        specs: scale and aspect ratio of each anchor in a cell.
        base: height and width of an anchor of scale and ratio 1.
        strides: from one cell to the next, down and across.
        offsets: the centre of the first cell.

    Returns:
        (N, 4): y and x of the low corner, y and x of the high one; row by row, cell by cell.
    """
    scales, ratios = np.array(specs, np.float32).reshape(-1, 2).T
    roots = np.sqrt(ratios)
    sizes = np.stack([scales / roots * base[0], scales * roots * base[1]], axis=-1)
    centres_y = np.arange(grid[0], dtype=np.float32) * strides[0] + offsets[0]
    centres_x = np.arange(grid[1], dtype=np.float32) * strides[1] + offsets[1]
    centres = np.stack(np.meshgrid(centres_y, centres_x, indexing="ij"), axis=-1)
    centres = centres[:, :, np.newaxis, :]
    half = np.float32(0.5) * sizes
    return np.concatenate([centres - half, centres + half], axis=-1).reshape(-1, 4)


def normalized(boxes: Float32, image_size: tuple[int, int]) -> Float32:
    """Corners in pixels as fractions of the image (height, width): times the reciprocal sides."""
    scale = np.float32(1) / np.array([*image_size, *image_size], np.float32)
    return boxes * scale


def centred(boxes: Float32) -> Float32:
    """Corners as y and x of the centre, height, width.

    The exporter keeps corners and turns them back into centre and size: the last bits tell.
    """
    low, high = boxes[:, :2], boxes[:, 2:]
    extent = high - low
    middle = low + extent / np.float32(2)
    return np.concatenate([middle, extent], axis=-1)
