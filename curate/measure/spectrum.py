"""The power spectrum of a photo's textured parts, in the pixels of its file: the input of `resolution`.

An enlarged photo has more pixels and no more detail: its spectrum falls to the noise of coding where that of the
original ends. Tiles with strong gradients hold whatever detail there is; the flattest tiles hold the noise floor.
"""

import cv2
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Gray = npt.NDArray[np.uint8]

TILE = 32
"""Side of a tile, px."""

FREQUENCIES = TILE // 2
"""Frequencies of a spectrum: 1/32 to 16/32 cycles per px; the last is the highest that pixels represent."""

MAX_TILES, MIN_TILES = 48, 9
"""Textured tiles: a quarter of all, within these limits; a third as many flat tiles."""

SMALL_PHOTO = 256 * 256
"""Number of pixels below which tiles overlap by half."""

SPECTRUM_FLOOR = 0.05
"""Power, in squared grey levels, added to every frequency; rounding to 8 bits alone leaves 1/12."""

AVERAGED = 4
"""Lines averaged before the transform, which leaves the frequencies below 1/8 across it."""


def _windowed_waves() -> Floats:
    """Cosines and sines of FREQUENCIES under a Hann window of unit energy, (TILE, 2 * FREQUENCIES)."""
    position, frequency = np.arange(TILE), np.arange(1, FREQUENCIES + 1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * (position + 0.5) / TILE)
    phase = 2 * np.pi / TILE * np.outer(position, frequency)
    waves = np.concatenate([np.cos(phase), np.sin(phase)], 1) * window[:, None] / np.sqrt((window**2).sum())
    return np.asarray(waves, np.float32)


WAVES = _windowed_waves()
_MEAN = np.full((TILE, 1), 1 / TILE, np.float32)


def spectrum(gray: Gray) -> Floats | None:
    """Measure the spectrum of a photo's luma.

    Args:
        gray: uint8 (H, W).

    Returns:
        float32 (2 * FREQUENCIES + 1,): log10 of the power of the textured tiles, and of the flat ones, at
        FREQUENCIES, the median over tiles and both axes; then the share of repeated lines (`_repeated`), 0-1. None
        where a side is shorter than a tile.
    """
    if min(gray.shape) < TILE:
        return None
    step = TILE if gray.size >= SMALL_PHOTO else TILE // 2
    grid = [(side - TILE) // step + 1 for side in gray.shape]
    strides = (step * gray.strides[0], step * gray.strides[1], *gray.strides)
    tiles = np.lib.stride_tricks.as_strided(gray, (*grid, TILE, TILE), strides, writeable=False)
    along_x = np.asarray(cv2.absdiff(gray[:, 1:], gray[:, :-1]), np.uint8)
    along_y = np.asarray(cv2.absdiff(gray[1:], gray[:-1]), np.uint8)
    energy = _tile_sums((along_x[:-1] >> 1) + (along_y[:, :-1] >> 1), step, tiles.shape[:2])
    order = np.argsort(energy, axis=None, kind="stable")
    count = min(MAX_TILES, max(MIN_TILES, len(order) // 4), len(order))
    powers = [_median_power(tiles, part) for part in (order[-count:], order[: max(3, count // 3)])]
    lines = min(_repeated(cv2.reduce(steps, axis, cv2.REDUCE_AVG, dtype=cv2.CV_32F)) for steps, axis in
                ((along_y, 1), (along_x, 0)))  # fmt: skip
    return np.concatenate([*(np.log10(power + SPECTRUM_FLOOR) for power in powers), [lines]]).astype(np.float32)


def _tile_sums(image: Gray, step: int, grid: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """Sums of an image (H - 1, W - 1) over TILE - 1 px squares, `step` px apart."""
    total = cv2.integral(image)
    top, left = np.arange(grid[0]) * step, np.arange(grid[1]) * step
    bottom, right = top + TILE - 1, left + TILE - 1
    corners = total[np.ix_(bottom, right)] - total[np.ix_(top, right)]
    return np.asarray(corners - total[np.ix_(bottom, left)] + total[np.ix_(top, left)], np.int32)


def _median_power(tiles: Gray, chosen: npt.NDArray[np.intp]) -> Floats:
    """Power (FREQUENCIES,) of the chosen tiles of a (rows, columns, TILE, TILE) grid."""
    part = tiles[chosen // tiles.shape[1], chosen % tiles.shape[1]].astype(np.uint16)
    sums = part[:, ::AVERAGED], part[:, :, ::AVERAGED].transpose(0, 2, 1)
    for k in range(1, AVERAGED):
        sums = sums[0] + part[:, k::AVERAGED], sums[1] + part[:, :, k::AVERAGED].transpose(0, 2, 1)
    lines = np.concatenate(sums).astype(np.float32) / AVERAGED  # (2 tiles, TILE / AVERAGED, TILE)
    lines = lines.reshape(-1, TILE)
    lines -= lines @ _MEAN
    waves = lines @ WAVES
    waves *= waves
    power = waves.reshape(-1, TILE // AVERAGED, 2 * FREQUENCIES).sum(1)  # of cosines and sines
    power = np.sort(power[:, :FREQUENCIES] + power[:, FREQUENCIES:], axis=0)
    middle = power[(len(power) - 1) // 2] + power[len(power) // 2]  # twice the median
    return np.asarray(middle * (AVERAGED / (2 * TILE)), np.float32)


def _repeated(steps: npt.NDArray[np.generic]) -> float:
    """Share of lines that repeat the line before, as enlargement by the nearest pixel makes them.

    `steps`: mean absolute difference of each line from the line before. One that is less than half to a quarter of the
    largest within three lines counts in part or in full.
    """
    change = steps.reshape(1, -1).astype(np.float32)
    around = cv2.dilate(change, np.ones((1, 7), np.uint8))
    return float(np.clip((0.5 - change / (around + 1e-3)) / 0.25, 0, 1).mean())
