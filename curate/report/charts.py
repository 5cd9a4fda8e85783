"""A histogram -> an SVG picture: photos per bin, dropped ones among them, the policy's limits as lines."""

from html import escape

from curate.report.numbers import Histogram

WIDTH, HEAD, HEIGHT, FOOT = 320, 16, 104, 18
FLOOR = HEAD + HEIGHT


def histogram_svg(histogram: Histogram) -> str:
    """SVG text, WIDTH x (HEAD + HEIGHT + FOOT); colours come from the page's style sheet.

    Heights grow with the square root of the count: the few dropped ones show beside the many kept ones.
    """
    measure = histogram.measure
    most = max(1, int(histogram.photos.max()))
    step = WIDTH / len(histogram.photos)
    bars = []
    for k, (photos, dropped) in enumerate(zip(histogram.photos.tolist(), histogram.dropped.tolist(), strict=True)):
        if photos:
            # A bin of one photo in a million still shows as a hair line.
            tall, red = (max(1.0, HEIGHT * (n / most) ** 0.5) if n else 0.0 for n in (photos, dropped))
            bars += [_bar("kept", k * step, step - 1, tall)] + [_bar("lost", k * step, step - 1, red)] * bool(dropped)
    lines = [f'<line class="floor" x1="0" x2="{WIDTH}" y1="{FLOOR}" y2="{FLOOR}"/>']
    for limit in histogram.limits:
        x = WIDTH * (limit - measure.low) / (measure.high - measure.low)
        side, anchor = (-3, "end") if x > WIDTH / 2 else (3, "start")
        lines.append(f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="2" y2="{FLOOR}"/>')
        lines.append(f'<text class="limit" x="{x + side:.1f}" y="11" text-anchor="{anchor}">{limit:.3g}</text>')
    told = f"{int(histogram.photos.sum()):,} photos, {int(histogram.dropped.sum()):,} of them dropped"
    return (
        f'<svg viewBox="0 0 {WIDTH} {FLOOR + FOOT}" role="img" aria-label="{escape(measure.title)}: {told}">'
        + "".join(bars + lines)
        + f'<text x="0" y="{FLOOR + 14}">{measure.low:g}</text>'
        + f'<text x="{WIDTH}" y="{FLOOR + 14}" text-anchor="end">{measure.high:g}</text></svg>'
    )


def _bar(kind: str, x: float, width: float, tall: float) -> str:
    return f'<rect class="{kind}" x="{x:.1f}" y="{FLOOR - tall:.1f}" width="{width:.1f}" height="{tall:.1f}"/>'
