"""curate/measure/encoding.py: label maps are lossless, crops keep their colours at full resolution."""

import numpy as np
import torch

from curate.decode import decode
from curate.measure.encoding import encode_crops, encode_label_maps
from tests.samples.measured_faces import ASTRONAUT, batch


def test_crops_and_label_maps_round_trip() -> None:
    crops, _, _ = batch([ASTRONAUT.crop, ASTRONAUT.crop[:, ::-1].copy()])
    labels = torch.arange(2 * 64 * 64).reshape(2, 64, 64).remainder(19).to(torch.uint8)
    jpegs, pngs = encode_crops(crops), encode_label_maps(labels)
    for crop, jpeg in zip(crops, jpegs, strict=True):
        error = decode(jpeg).pixels.astype(int) - crop.permute(1, 2, 0).numpy()
        assert np.abs(error).mean() < 2
    for label_map, png in zip(labels, pngs, strict=True):
        np.testing.assert_array_equal(decode(png).pixels[..., 0], label_map.numpy())
