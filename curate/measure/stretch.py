"""Non-uniform scaling of a photo, estimated from the five landmarks of a face."""

import torch
from torch import Tensor

STRETCH_FIT = (-0.0165, 1.0583, 0.1308, -0.1902, -1.4197, -1.2717, -0.4721, -0.3044)
"""log(eye-mouth distance / eye distance) of natural faces as a linear function of `_invariants`: a robust fit to 1,250
landmark sets of three collections, detected by MTCNN."""

STRETCH_SPREAD = 0.061
"""Robust standard deviation, in log, of natural faces about that fit."""

MAX_STRETCH_ERROR = 0.1
"""Larger errors occur with doubtful landmarks and heads tilted far: no estimate. Upright faces have 0.06 to 0.08."""

MAX_YAW = 30.0
"""Degrees of yaw beyond which there is no estimate: the far eye and mouth corner are guesses."""


def stretch(points: Tensor, yaw: Tensor) -> dict[str, Tensor]:
    """Estimate by which factor a photo was scaled in height relative to its width.

    A scaling along one axis preserves ratios along a line. Three of them (how far the nose is off the middle, how far
    down it is, how wide the mouth is) predict the ratio r of eye-mouth to eye distance of a natural face in that
    pose. With e the vector between the eyes and d the one from the eyes' to the mouth's middle, the factor k that
    restores it satisfies d_x^2 + d_y^2 / k^2 = r^2 (e_x^2 + e_y^2 / k^2).

    Args:
        points: (N, 5, 2), landmarks in px of the *photo*.
        yaw: (N,), degrees, of `curate.measure.pose`.

    Returns:
        float32 (N,) each, NaN where the head is turned by more than MAX_YAW, or tilted so far, or its landmarks are so
        implausible that the two directions cannot be separated (error above MAX_STRETCH_ERROR):

        - `stretch`: k; 1 natural, 1.35 stretched vertically, 0.74 squashed. Values between 0.8 and 1.25 cannot be
          distinguished from a long or a wide face.
        - `stretch_error`: standard deviation of log k, 0.06 for an upright head; one face in three is off by more.
    """
    points = points.double()
    left, right, _, mouth_left, mouth_right = points.unbind(1)
    e = right - left
    d = (mouth_left + mouth_right - left - right) / 2
    fit = torch.tensor(STRETCH_FIT, dtype=torch.float64, device=points.device)
    r_squared = torch.exp(2 * (_invariants(points) @ fit))
    # k^2 = above / below
    above = d[:, 1] ** 2 - r_squared * e[:, 1] ** 2
    below = r_squared * e[:, 0] ** 2 - d[:, 0] ** 2
    # d(log k) / d(log r)
    sensitivity = r_squared * (e[:, 1] ** 2 / above + e[:, 0] ** 2 / below)
    error = STRETCH_SPREAD * sensitivity
    is_turned = yaw.abs() > MAX_YAW
    is_defined = (above > 0) & (below > 0) & (error < MAX_STRETCH_ERROR) & ~is_turned
    factor = torch.where(is_defined, above / below, torch.nan).sqrt()
    return {"stretch": factor.float(), "stretch_error": torch.where(is_defined, error, torch.nan).float()}


def _invariants(points: Tensor) -> Tensor:
    """Points float64 (N, 5, 2) -> (N, 8): terms of the three ratios that no scaling along any direction changes."""
    left, right, nose, mouth_left, mouth_right = points.unbind(1)
    middle = (left + right) / 2
    axes = torch.stack((right - left, (mouth_left + mouth_right) / 2 - middle), 2)  # columns e, d
    targets = torch.stack((nose - middle, mouth_right - mouth_left), 2)
    coordinates = torch.linalg.solve_ex(axes, targets).result
    aside = coordinates[:, 0, 0].abs().clamp(max=0.8)
    down = coordinates[:, 1, 0].clamp(0.2, 0.9) - 0.55
    mouth = coordinates[:, 0, 1].clamp(0.3, 3.0).log()
    one = torch.ones_like(aside)
    return torch.stack((one, aside**2, aside, down, down**2, aside**2 * down, mouth, aside**4), 1)
