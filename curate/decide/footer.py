"""The manifest's footer: the policy, the calibration and the sharpness limit that its verdicts come from."""

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from curate.decide.rules import Policy
from manifests import layout

if TYPE_CHECKING:
    from curate.measure.sharpness import BlurCalibration


def decision_footer(policy: Policy, applied: Policy, calibration: "BlurCalibration | None") -> dict[str, str]:
    """Return the footer of a manifest.

    Args:
        policy: the policy that was requested.
        applied: the same, its min_sharpness adapted to the collection.
        calibration: the blur calibration that scored sharpness; None for the measured scores.
    """
    footer = {layout.POLICY: policy.canonical_json(), layout.POLICY_HASH: policy.sha256()}
    if policy.adapt_sharpness:
        footer[layout.SHARPNESS_LIMIT] = f"{applied.min_sharpness:.4f}"
    if calibration is not None:
        from curate.decide.rescore import calibration_sha256

        # Another calibration gives other verdicts, so it is part of the hash that a training run compares.
        footer[layout.CALIBRATION_HASH] = calibration_sha256(calibration)
        both = f"{policy.sha256()} {footer[layout.CALIBRATION_HASH]}"
        footer[layout.POLICY_HASH] = hashlib.sha256(both.encode()).hexdigest()
    return footer


def applied_policy(footer: dict[str, str]) -> Policy:
    """Return the policy that a manifest's verdicts come from, with the sharpness limit of its collection."""
    policy = Policy(**json.loads(footer[layout.POLICY]))
    if layout.SHARPNESS_LIMIT in footer:
        policy = replace(policy, min_sharpness=float(footer[layout.SHARPNESS_LIMIT]))
    return policy
