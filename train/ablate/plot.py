"""The plot of an ablation as SVG: A of each arm with its interval and the spread of its seeds."""

from collections.abc import Sequence
from html import escape

from train.ablate.arm_row import ArmRow

_WIDTH, _LEFT, _LINE, _HEAD = 720, 220, 34, 46  # px: the plot, its labels, a row, the heading
_INK, _GREY, _BAND, _BLUE, _RED = "#1c1f24", "#5b6470", "#e3e7ec", "#3d6ea5", "#9a2f1c"


def plot_svg(rows: Sequence[ArmRow]) -> str:
    """Draw A of each arm as a dot with a bar for its interval and ticks for its lowest and highest seed.

    A grey band spans the seeds of the first arm.
    """
    values = [
        value
        for row in rows
        for value in (row.a, row.a_low, row.a_high, row.a_seed_min, row.a_seed_max)
        if value is not None
    ]
    low, high = min([0.0, *values]), max([0.0, *values])
    margin = 0.06 * (high - low) or 1.0
    left, right = low - margin, high + margin
    bottom = _HEAD + _LINE * len(rows)

    def x(value: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 20) * (value - left) / (right - left)

    def vertical(value: float, top: float, end: float, colour: str) -> str:
        return f'<line x1="{x(value):.1f}" x2="{x(value):.1f}" y1="{top:.1f}" y2="{end:.1f}" stroke="{colour}"/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {bottom + 40}" role="img" '
        'aria-label="A of each arm with its interval" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{_WIDTH}" height="{bottom + 40}" fill="#fff"/>',
        f'<text x="12" y="22" fill="{_INK}" font-weight="600">A: reduction of the cosine distance against the first '
        "arm, %</text>",
    ]
    if rows:
        band = (x(rows[0].a_seed_min), x(rows[0].a_seed_max))
        parts.append(
            f'<rect x="{band[0]:.1f}" y="{_HEAD - 8}" width="{max(1.0, band[1] - band[0]):.1f}" '
            f'height="{bottom - _HEAD + 8}" fill="{_BAND}"/>'
        )
    parts.append(vertical(0, _HEAD - 8, bottom, _GREY))
    for index, row in enumerate(rows):
        y = _HEAD + _LINE * (index + 0.5) - 8
        parts.append(f'<text x="12" y="{y + 4:.1f}" fill="{_INK}">{escape(row.arm)}</text>')
        if row.a_low is not None and row.a_high is not None:
            parts.append(
                f'<line x1="{x(row.a_low):.1f}" x2="{x(row.a_high):.1f}" y1="{y:.1f}" y2="{y:.1f}" '
                f'stroke="{_BLUE}" stroke-width="2"/>'
            )
        parts += [vertical(value, y - 6, y + 6, _RED) for value in (row.a_seed_min, row.a_seed_max)]
        parts.append(f'<circle cx="{x(row.a):.1f}" cy="{y:.1f}" r="4.5" fill="{_BLUE}"/>')
    parts += [
        f'<text x="{x(value):.1f}" y="{bottom + 16}" fill="{_GREY}" text-anchor="middle">{value:.1f}</text>'
        for value in (low, 0.0, high)
    ]
    parts.append(
        f'<text x="12" y="{bottom + 34}" fill="{_GREY}" font-size="11">Dot and bar: mean, 95% interval by person. '
        "Red: lowest and highest seed. Grey: the seeds of the first arm, the noise floor.</text></svg>"
    )
    return "\n".join(parts) + "\n"
