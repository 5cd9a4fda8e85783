"""The result of an audit: from judgements to shares with intervals, and the agreement of annotators."""

from collections.abc import Mapping
from itertools import combinations

from curate.audit.estimate import Stratum, estimate, kappa
from curate.audit.judgements import Judgements
from curate.audit.kinds import NOISE, UNCLEAR
from curate.audit.record import ANY, Agreement, AnnotatorResult, AuditRecord, KindShare, PopulationResult


def result_of(judgements: Judgements) -> AuditRecord:
    """Compute the result of all annotators who have judged the whole draw."""
    draw = judgements.draw
    whole = {name: given for name, given in judgements.given.items() if len(given) == len(draw.photos)}
    results = tuple(AnnotatorResult(name, _populations(judgements, given)) for name, given in sorted(whole.items()))
    agreements = []
    for first, second in combinations(sorted(whole), 2):
        value, photos, alike = kappa(whole[first], whole[second])
        agreements.append(Agreement(first, second, photos, alike, value))
    return AuditRecord(draw.seed, draw.basis, results, tuple(agreements))


def _populations(judgements: Judgements, given: Mapping[int, str]) -> tuple[PopulationResult, ...]:
    results = []
    for population, sizes in judgements.draw.sizes.items():
        kinds: list[list[str]] = [[] for _ in sizes]
        for number, photo in enumerate(judgements.draw.photos):
            if photo.population == population:
                kinds[photo.stratum].append(given[number])
        judged = sum(map(len, kinds))
        if judged:
            groups = {ANY: NOISE, **{kind: (kind,) for kind in NOISE}, UNCLEAR: (UNCLEAR,)}
            shares = tuple(_share(name, group, sizes, kinds) for name, group in groups.items())
            results.append(PopulationResult(population, sum(sizes), judged, shares))
    return tuple(results)


def _share(name: str, group: tuple[str, ...], sizes: list[int], kinds: list[list[str]]) -> KindShare:
    strata = [
        Stratum(size, len(judged), sum(kind in group for kind in judged))
        for size, judged in zip(sizes, kinds, strict=True)
    ]
    share = estimate(strata)
    return KindShare(name, share.share, share.low, share.high, share.found)
