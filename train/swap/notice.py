"""The notice that the first swap of a user prints."""

from train.marks.credentials.certificates import home

NOTICE = """\
simswap puts a person's face on other pictures. Do so only where the people on the pictures and on the source photos
agree; --only and --exclude list who may and who must not be swapped. Every result is marked as AI-made: watermark,
metadata, content credentials, and a visible label that many laws require (docs: "What the law asks"). OUT/swap.json
records inputs, settings and the mark ID of each result. This notice is shown once."""

_FILE = "notice.txt"


def first_use_notice() -> str | None:
    """The notice, where this user has not seen it; it then counts as seen, if the data folder can be written."""
    path = home() / _FILE
    if path.exists():
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(NOTICE + "\n", encoding="utf-8")
    except OSError:
        pass  # a read-only home: it is shown again
    return NOTICE
