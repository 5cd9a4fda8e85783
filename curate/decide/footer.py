"""The manifest's footer: what its verdicts come from, and what the checks found."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from curate.decide.check import Finding
from curate.decide.rules import Policy
from curate.decide.sharpness_limit import LimitGroup, SharpnessLimits, fixed_limit
from curate.errors import PolicyError
from manifests import layout
from manifests.errors import DatasetError
from manifests.records import InvalidRecordError, parse_record

if TYPE_CHECKING:
    from curate.measure.sharpness import BlurCalibration


def decision_footer(policy: Policy, limits: SharpnessLimits, calibration: "BlurCalibration | None") -> dict[str, str]:
    """Return the footer of a manifest.

    Args:
        policy: the policy that was requested.
        limits: the sharpness limits of the collection.
        calibration: the blur calibration that scored sharpness; None for the measured scores.
    """
    footer = {layout.POLICY: policy.canonical_json(), layout.POLICY_HASH: policy.sha256()}
    if policy.adapt_sharpness:
        footer[layout.SHARPNESS_LIMIT] = f"{limits.typical:.4f}"
        footer[layout.SHARPNESS_LIMIT_GROUPS] = limits.to_json()
    if calibration is not None:
        from curate.decide.rescore import calibration_sha256

        # Another calibration gives other verdicts, so it is part of the hash that a training run compares.
        footer[layout.CALIBRATION_HASH] = calibration_sha256(calibration)
        both = f"{policy.sha256()} {footer[layout.CALIBRATION_HASH]}"
        footer[layout.POLICY_HASH] = hashlib.sha256(both.encode()).hexdigest()
    return footer


def requested_policy(footer: dict[str, str]) -> Policy:
    """Return the policy that a manifest was decided by. Raises DatasetError where the footer records none."""
    try:
        return parse_record(footer.get(layout.POLICY, ""), Policy)
    except (InvalidRecordError, PolicyError) as error:
        raise DatasetError(f"{layout.MANIFEST} records no policy ({error}): run `curate decide` again") from error


def applied_policy(footer: dict[str, str]) -> Policy:
    """Return the policy that a manifest's verdicts come from, with the sharpness limit of its collection."""
    policy = requested_policy(footer)
    try:
        if layout.SHARPNESS_LIMIT in footer:
            policy = replace(policy, min_sharpness=float(footer[layout.SHARPNESS_LIMIT]))
    except (ValueError, PolicyError) as error:
        raise DatasetError(f"{layout.MANIFEST} records no policy ({error}): run `curate decide` again") from error
    return policy


def applied_limits(footer: dict[str, str]) -> SharpnessLimits:
    """Return the sharpness limits that a manifest was decided by. Raises DatasetError as `requested_policy` does."""
    groups = limit_groups(footer)
    return SharpnessLimits(groups) if groups else fixed_limit(requested_policy(footer).min_sharpness)


def limit_groups(footer: dict[str, str]) -> tuple[LimitGroup, ...]:
    """Return the sharpness limits of a manifest's groups of photos; none where they were not adapted, or merged.

    Raises DatasetError for a footer that holds something else.
    """
    try:
        return tuple(parse_record(footer.get(layout.SHARPNESS_LIMIT_GROUPS, "[]"), list[LimitGroup]))
    except InvalidRecordError as error:
        text = f"{layout.MANIFEST} records no sharpness limits ({error}): run `curate decide` again"
        raise DatasetError(text) from error


def findings_footer(findings: Sequence[Finding]) -> dict[str, str]:
    """Return the footer entry of what the checks found."""
    return {layout.CHECKS: json.dumps([asdict(finding) for finding in findings])}


def stored_findings(footer: dict[str, str]) -> tuple[Finding, ...]:
    """Return what the checks found when a manifest was decided or merged."""
    try:
        return tuple(parse_record(footer.get(layout.CHECKS, "[]"), list[Finding]))
    except InvalidRecordError as error:
        raise DatasetError(f"{layout.MANIFEST} records no checks ({error}): run `curate decide` again") from error
