"""SVG of a histogram: photos per bin, dropped photos among them, thresholds of the policy as lines."""

from html import escape

from curate.counts import counted
from curate.report.summary import Histogram

WIDTH, HEAD, HEIGHT, FOOT = 320, 16, 104, 18
"""Sizes in SVG units: width, space for the labels of thresholds, height of the bars, space for the axis."""
_BASELINE = HEAD + HEIGHT


def histogram_svg(histogram: Histogram) -> str:
    """Draw a histogram, WIDTH x (HEAD + HEIGHT + FOOT); the style sheet of the page sets the colours.

    The height of a bar is proportional to the square root of its count, so that few dropped photos are visible beside
    many kept ones.
    """
    chart = histogram.chart
    max_count = max(1, int(histogram.photos.max()))
    step = WIDTH / len(histogram.photos)
    bars = []
    for k, (photos, dropped) in enumerate(zip(histogram.photos.tolist(), histogram.dropped.tolist(), strict=True)):
        for kind, count in (("kept", photos), ("lost", dropped)):
            if count:
                # At least one unit high: a bin with one photo of a million is visible.
                height = max(1.0, HEIGHT * (count / max_count) ** 0.5)
                bars.append(_bar(kind, k * step, step - 1, height))
    lines = [f'<line class="floor" x1="0" x2="{WIDTH}" y1="{_BASELINE}" y2="{_BASELINE}"/>']
    for limit in histogram.limits:
        x = WIDTH * (limit - chart.low) / (chart.high - chart.low)
        offset, anchor = (-3, "end") if x > WIDTH / 2 else (3, "start")
        lines.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{_BASELINE}"/>')
        lines.append(f'<text class="limit" x="{x + offset:.1f}" y="11" text-anchor="{anchor}">{limit:.3g}</text>')
    counts = f"{counted(int(histogram.photos.sum()), 'photo')}, {int(histogram.dropped.sum()):,} of them dropped"
    return (
        f'<svg viewBox="0 0 {WIDTH} {_BASELINE + FOOT}" role="img" aria-label="{escape(chart.title)}: {counts}">'
        + "".join(bars + lines)
        + f'<text x="0" y="{_BASELINE + 14}">{chart.low:g}</text>'
        + f'<text x="{WIDTH}" y="{_BASELINE + 14}" text-anchor="end">{chart.high:g}</text></svg>'
    )


def _bar(kind: str, x: float, width: float, height: float) -> str:
    y = _BASELINE - height
    return f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"/>'
