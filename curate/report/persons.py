"""Identities whose faces fall into two groups, one person each."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curate.evaluate.outcome import wilson


@dataclass(frozen=True)
class MixedIdentity:
    """An identity that shows two persons.

    Attributes:
        name: of the identity.
        first, second, neither: faces of the person at the centroid, of the other one, and of neither.
        low, high: 95% Wilson interval of the share of the second person among the faces.
        second_name: identity that is suggested for the second person: another one that it matches, or a new one.
    """

    name: str
    first: int
    second: int
    neither: int
    low: float
    high: float
    second_name: str

    @property
    def share(self) -> float:
        """Share of the second person among the faces of both, 0-1."""
        return self.second / (self.first + self.second)


def mixed_identities(manifest: pa.Table) -> list[MixedIdentity]:
    """Find the identities of a manifest that show two persons, the largest second person first.

    manifest: table with identity, person_group, suggested_identity and own_similarity.
    """
    identity = manifest["identity"].combine_chunks().dictionary_encode()
    code, names = np.asarray(identity.indices), identity.dictionary
    group = np.asarray(pc.fill_null(manifest["person_group"], 0).to_numpy(), np.int64)
    counts = np.bincount(3 * code + group, minlength=3 * len(names)).reshape(-1, 3)
    known = set(names.to_pylist())
    found = []
    for k in np.flatnonzero(counts[:, 1:].all(axis=1)):
        rows = np.flatnonzero((code == k) & (group == 2))
        suggested = Counter(manifest["suggested_identity"].take(pa.array(rows)).to_pylist())
        first, second = int(counts[k, 1]), int(counts[k, 2])
        low, high = wilson(second / (first + second), first + second)
        name = str(names[int(k)])
        target, votes = max(suggested.items(), key=lambda item: (item[0] is not None, item[1]))
        if target is None or 2 * votes <= len(rows):
            target = next(f"{name} ({n})" for n in range(2, len(known) + 3) if f"{name} ({n})" not in known)
        known.add(target)
        found.append(MixedIdentity(name, first, second, int(counts[k, 0]), low, high, target))
    return sorted(found, key=lambda mixed: -mixed.second)
