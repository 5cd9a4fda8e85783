"""SVG of error-versus-discard curves."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from curate.evaluate.discard_curve import Curve

WIDTH, HEIGHT = 720, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 190, 24, 44
_COLOURS = {
    "random": "#777777", "oracle": "#000000", "all scores": "#0072b2", "sharpness": "#d55e00",
    "resolved eye distance": "#e69f00", "yaw": "#009e73", "pitch": "#56b4e9", "detection score": "#cc79a7",
    "wrong person": "#8b5a2b",
}  # fmt: skip
"""Orders that are drawn, and their colours: those of Okabe and Ito, which colour-blind readers tell apart."""
_DASHED = ("random", "oracle", "wrong person")
_TICKS = 5


def discard_svg(curves: Mapping[str, Curve], points: Sequence[Curve], fmr: float) -> str:
    """Draw the false non-match rate over the share of dropped photos: curves by order, and points of verdicts."""
    drawn = {name: curve for name, curve in curves.items() if name in _COLOURS}
    x_max = max(float(curve.shares[-1]) for curve in drawn.values())
    y_max = max(1e-6, 1.05 * max(float(np.nanmax(curve.fnmr)) for curve in drawn.values()))

    def x(share: float) -> float:
        return _LEFT + (WIDTH - _LEFT - _RIGHT) * share / x_max

    def y(rate: float) -> float:
        return HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * rate / y_max

    parts = [f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>']
    for k in range(_TICKS + 1):
        share, rate = x_max * k / _TICKS, y_max * k / _TICKS
        parts.append(_line((x(0), y(rate)), (x(x_max), y(rate)), "#e0e0e0"))
        parts.append(_text(x(0) - 6, y(rate) + 4, f"{rate:.2%}", "end"))
        parts.append(_text(x(share), y(0) + 16, f"{share:.0%}", "middle"))
    parts.append(_text((x(0) + x(x_max)) / 2, HEIGHT - 8, "photos dropped", "middle"))
    parts.append(_text(4, 14, f"false non-matches at a false match rate of {fmr:g}", "start"))
    for k, (name, curve) in enumerate(drawn.items()):
        dashes = ' stroke-dasharray="6 4"' if name in _DASHED else ""
        known = [(s, r) for s, r in zip(curve.shares.tolist(), curve.fnmr.tolist(), strict=True) if r == r]
        path = " ".join(f"{x(share):.1f},{y(rate):.1f}" for share, rate in known)
        colour = _COLOURS[name]
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>')
        level = _TOP + 18 * k
        parts.append(_line((WIDTH - _RIGHT + 14, level), (WIDTH - _RIGHT + 40, level), colour, dashes))
        parts.append(_text(WIDTH - _RIGHT + 46, level + 4, name, "start"))
    for point in points:
        share, rate = float(point.shares[0]), float(point.fnmr[0])
        if share <= x_max and rate == rate:
            parts.append(f'<circle cx="{x(share):.1f}" cy="{y(rate):.1f}" r="5" fill="#0072b2" stroke="#ffffff"/>')
    if points:
        level = _TOP + 18 * len(drawn)
        parts.append(f'<circle cx="{WIDTH - _RIGHT + 27}" cy="{level}" r="5" fill="#0072b2"/>')
        parts.append(_text(WIDTH - _RIGHT + 46, level + 4, "policy", "start"))
    title = f"Share of false non-matches over the share of dropped photos, {len(drawn)} orders"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(title)}" font-family="sans-serif" font-size="12">' + "".join(parts) + "</svg>\n"
    )


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, dashes: str = "") -> str:
    return (
        f'<line x1="{start[0]:.1f}" y1="{start[1]:.1f}" x2="{end[0]:.1f}" y2="{end[1]:.1f}" stroke="{colour}" '
        f'stroke-width="{1 if colour == "#e0e0e0" else 2}"{dashes}/>'
    )


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#222222">{escape(text)}</text>'
