"""How clean is a dataset? A person judges a random sample of its photos, and shares with intervals follow.

In: a decided dataset. Out: `review/audit-*.jsonl`, the draw and the judgements, and an entry in the manifest's footer.
`run(AuditRequest(dataset))` serves the page until every photo of the draw is judged, or until it is interrupted; run
again, it continues. To add a kind of noise: one entry in `KINDS` (kinds.py).
"""

from typing import TYPE_CHECKING

from curate.lazy import lazy_exports

if TYPE_CHECKING:
    from curate.audit.audit import AuditRequest, run
    from curate.audit.record import AuditRecord, stored_audit

__all__ = ["AuditRecord", "AuditRequest", "run", "stored_audit"]

if not TYPE_CHECKING:
    __getattr__ = lazy_exports(
        __name__,
        {
            "curate.audit.audit": ("AuditRequest", "run"),
            "curate.audit.record": ("AuditRecord", "stored_audit"),
        },
    )
