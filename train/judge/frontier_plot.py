"""The plot of the frontier as SVG: top-1 against the errors of landmarks and of pose, candidates beside the blends."""

from collections.abc import Mapping
from html import escape

from train.judge.frontier import ALPHAS, ERRORS, blend_name
from train.judge.summary import MetricSummary

_PANEL, _HEIGHT, _LEFT, _TOP, _GAP = 400, 300, 56, 34, 70  # px: a panel, its margins, the space between two
_INK, _GREY, _LINE = "#1c1f24", "#5b6470", "#d9dde3"
_COLOURS = ("#3d6ea5", "#9a2f1c", "#3f7d4f", "#8a5a9e", "#b07a1e", "#2b8a8a")
_TITLES = {"landmark_error": "error of the landmarks, eye distances", "pose_error": "error of the pose, degrees"}


def frontier_svg(metrics: Mapping[str, Mapping[str, MetricSummary]], title: str) -> str:
    """Draw each candidate as a dot with bars for its 95% intervals, and the blends as a grey line with small dots.

    Args:
        metrics: `METRICS` by model and name, of one judge.
        title: heading.
    """
    width = 2 * (_PANEL + _GAP)
    names = [name for name in metrics if name not in {blend_name(alpha) for alpha in ALPHAS}]
    height = _TOP + _HEIGHT + 52 + 18 * len(names)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}" font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="20" fill="{_INK}" font-weight="600">{escape(title)}</text>',
    ]
    for number, error in enumerate(ERRORS):
        parts += _panel(metrics, names, error, _LEFT + number * (_PANEL + _GAP))
    for index, name in enumerate(names):
        y = _TOP + _HEIGHT + 52 + 18 * index
        parts.append(f'<circle cx="18" cy="{y - 4}" r="4.5" fill="{_colour(index)}"/>')
        parts.append(f'<text x="30" y="{y}" fill="{_INK}">{escape(name)}</text>')
    parts.append(
        f'<text x="{_LEFT + _PANEL + _GAP}" y="{_TOP + _HEIGHT + 52}" fill="{_GREY}" font-size="12">Grey: the target '
        "(left end), blends with .1 to .9 of the source. Bars: 95% intervals over people.</text></svg>"
    )
    return "\n".join(parts) + "\n"


def _panel(metrics: Mapping[str, Mapping[str, MetricSummary]], names: list[str], error: str, left: float) -> list[str]:
    blends = [metrics[name] for alpha in ALPHAS if (name := blend_name(alpha)) in metrics]
    highest = max((model[error].value or 0 for model in metrics.values()), default=0) * 1.08 or 1.0

    def x(value: float) -> float:
        return left + _PANEL * value / highest

    def y(share: float) -> float:
        return _TOP + _HEIGHT * (1 - share)

    parts = [f'<rect x="{left}" y="{_TOP}" width="{_PANEL}" height="{_HEIGHT}" fill="none" stroke="{_LINE}"/>']
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<line x1="{left}" x2="{left + _PANEL}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="{_LINE}"/>'
            f'<text x="{left - 6}" y="{y(tick) + 4:.1f}" fill="{_GREY}" text-anchor="end">{tick:.0%}</text>'
        )
    for step in range(5):
        value = highest * step / 4
        parts.append(
            f'<text x="{x(value):.1f}" y="{_TOP + _HEIGHT + 16}" fill="{_GREY}" text-anchor="middle">{value:.3g}</text>'
        )
    parts.append(
        f'<text x="{left + _PANEL / 2}" y="{_TOP + _HEIGHT + 32}" fill="{_INK}" text-anchor="middle">'
        f"{_TITLES[error]}</text>"
    )
    points = [
        (x(at), y(top1))
        for model in blends
        if (at := model[error].value) is not None and (top1 := model["top1"].value) is not None
    ]
    if points:
        line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{_GREY}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{_GREY}"/>' for a, b in points]
    for index, name in enumerate(names):
        where, share = metrics[name][error], metrics[name]["top1"]
        if where.value is None or share.value is None:
            continue
        a, b, colour = x(where.value), y(share.value), _colour(index)
        if where.low is not None and where.high is not None and share.low is not None and share.high is not None:
            right = min(x(where.high), left + _PANEL)
            parts.append(
                f'<line x1="{x(where.low):.1f}" x2="{right:.1f}" y1="{b:.1f}" y2="{b:.1f}" stroke="{colour}"/>'
            )
            parts.append(
                f'<line x1="{a:.1f}" x2="{a:.1f}" y1="{y(share.low):.1f}" y2="{y(share.high):.1f}" stroke="{colour}"/>'
            )
        parts.append(f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4.5" fill="{colour}"/>')
    return parts


def _colour(index: int) -> str:
    return _COLOURS[index % len(_COLOURS)]
