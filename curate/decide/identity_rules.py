"""IDENTITY_RULES: the reasons that concern the person whom a photo shows; a part of RULES."""

from typing import TYPE_CHECKING

import numpy as np

from curate.decide.rule import Chart, Columns, Flags, Rule
from manifests.schema import NO_IDENTITY

if TYPE_CHECKING:
    from curate.decide.rules import Policy


def _other_person(photos: Columns, policy: "Policy") -> Flags:
    wrong = photos.number("wrong_person") >= policy.max_wrong_person
    return ~photos.equal("identity", NO_IDENTITY) & wrong & ~_second_person(photos, policy)


def _uncertain_person(photos: Columns, policy: "Policy") -> Flags:
    wrong = photos.number("wrong_person")
    doubtful = (wrong >= policy.review_wrong_person) & (wrong < policy.max_wrong_person)
    # Of two folders of one person, either may be the nearer one.
    elsewhere = (photos.number("margin") < 0) & ~photos.alike("nearest_identity", "same_person_as")
    doubtful |= elsewhere & (wrong >= policy.review_nearer_identity) & (wrong < policy.max_wrong_person)
    several = photos.number("face_count") > 1
    doubtful |= several & (wrong >= policy.review_several_faces) & (wrong < policy.max_wrong_person)
    return ~photos.equal("identity", NO_IDENTITY) & doubtful & ~_second_person(photos, policy)


def _second_person(photos: Columns, policy: "Policy") -> Flags:
    return np.asarray(policy.review_second_person & (photos.number("person_group") == 2))


def _mixed_identity(photos: Columns, policy: "Policy") -> Flags:
    return ~photos.equal("identity", NO_IDENTITY) & (photos.number("identity_purity") < policy.min_identity_purity)


IDENTITY_RULES = (
    Rule(
        "other_person",
        "the face shows another person than its identity",
        ("identity", "wrong_person", "person_group"),
        ("max_wrong_person", "review_second_person"),
        _other_person,
        shown=("wrong_person", "own_similarity", "margin"),
        charts=(
            Chart("wrong_person", "Probability of another person", 0, 1, lambda p: (p.max_wrong_person,)),
            Chart("own_similarity", "Similarity to the centroid of its identity", -0.2, 1),
            Chart("margin", "Own similarity minus similarity to the nearest other identity", -0.6, 1),
        ),
    ),
    Rule(
        "uncertain_person",
        "the face may show another person than its identity",
        ("identity", "wrong_person", "margin", "nearest_identity", "same_person_as", "person_group", "face_count"),
        (
            "review_wrong_person",
            "max_wrong_person",
            "review_nearer_identity",
            "review_several_faces",
            "review_second_person",
            "keep_review",
        ),
        _uncertain_person,
        "review",
        shown=("wrong_person", "own_similarity", "nearest_similarity"),
    ),
    Rule(
        "second_person",
        "the identity shows two persons, and the face is of the smaller group",
        ("person_group",),
        ("review_second_person", "keep_review"),
        _second_person,
        "review",
        shown=("own_similarity", "wrong_person"),
    ),
    Rule(
        "mixed_identity",
        "the identity as a whole shows several persons",
        ("identity", "identity_purity"),
        ("min_identity_purity",),
        _mixed_identity,
        shown=("identity_cohesion", "own_similarity"),
    ),
)
