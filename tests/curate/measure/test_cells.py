"""curate/measure/cells.py: means over squares of pixels."""

import torch

from curate.measure.cells import cell_means, halved


def test_means_over_squares() -> None:
    image = torch.rand(2, 32, 48, generator=torch.Generator().manual_seed(0))
    expected = image.reshape(2, 4, 8, 6, 8).mean((2, 4))
    torch.testing.assert_close(cell_means(image, 8), expected)
    torch.testing.assert_close(halved(halved(halved(image))), expected)
