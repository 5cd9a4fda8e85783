"""Durations as text."""


def format_duration(seconds: float) -> str:
    """Format a duration: '8.3 s', '4 min 10 s', '26 h 5 min'."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s"
    hours, rest = divmod(whole, 3600)
    return f"{hours:,} h {rest // 60} min" if hours else f"{whole // 60} min {whole % 60} s"
