"""Draws the ratios: a dot for each row on a logarithmic scale, the middle half of the measurements as a line, the goal as a bar."""

import math
from xml.sax.saxutils import escape

LABELS = 440
WIDTH = 980
MARGIN = 24
STEP = 26
TOP = 64

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.small { font-size: 11px; fill: #59636e }
.title { font-size: 16px; font-weight: 600 }
.grid { stroke: #d1d9e0; stroke-width: 1 }
.one { stroke: #59636e; stroke-width: 1.5 }
.spread { stroke-width: 3; stroke-linecap: round; opacity: .45 }
.goal { stroke: #8250df; stroke-width: 3 }
.met { fill: #1a7f37; stroke: #1a7f37 }
.missed { fill: #d1242f; stroke: #d1242f }
.told { fill: #0969da; stroke: #0969da }
.page { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #f0f6fc }
.small { fill: #9198a1 }
.grid { stroke: #3d444d }
.one { stroke: #9198a1 }
.goal { stroke: #ab7df8 }
.met { fill: #3fb950; stroke: #3fb950 }
.missed { fill: #f85149; stroke: #f85149 }
.told { fill: #4493f8; stroke: #4493f8 }
.page { fill: #0d1117 }
}
"""


def draw(entries):
    """Gives the picture as text."""
    from .table import met

    values = [number for row, result in entries for number in (result["low"], result["high"], result["ratio"], goal(row, result) or 1)]
    least = min(0.8, min(values) * 0.95)
    most = max(1.6, max(values) * 1.1)
    right = WIDTH - MARGIN - 46

    def x(value):
        return LABELS + (math.log(value / least) / math.log(most / least)) * (right - LABELS)

    height = TOP + STEP * len(entries) + 44
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>The library's time and throughput, as a ratio to C's</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text class="title" x="{MARGIN}" y="28">Ratio to C (time, or throughput where it says so), logarithmic</text>',
    ]
    bottom = TOP + STEP * len(entries)
    for tick in (0.25, 0.5, 0.7, 1, 1.5, 2, 3, 4, 6, 8, 12, 16):
        if least <= tick <= most:
            kind = "one" if tick == 1 else "grid"
            parts.append(f'<line class="{kind}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP - 10}" y2="{bottom}"/>')
            parts.append(f'<text class="small" x="{x(tick):.1f}" y="{TOP - 16}" text-anchor="middle">{tick:g}</text>')
    for index, (row, result) in enumerate(entries):
        y = TOP + STEP * index + STEP / 2
        kind = "told" if row.kind is None else "met" if met(row, result) else "missed"
        label = escape(row.what.replace("`", "") + (" (lab)" if row.part == "lab" else ""))
        parts.append(f'<text x="{LABELS - 14}" y="{y + 4:.1f}" text-anchor="end" '
                     f'{fitted(label)}>{label}</text>')
        parts.append(f'<line class="spread {kind}" x1="{x(result["low"]):.1f}" x2="{x(result["high"]):.1f}" '
                     f'y1="{y:.1f}" y2="{y:.1f}"/>')
        mark = goal(row, result)
        if mark:
            parts.append(f'<line class="goal" x1="{x(mark):.1f}" x2="{x(mark):.1f}" y1="{y - 9:.1f}" y2="{y + 9:.1f}"/>')
        parts.append(f'<circle class="{kind}" cx="{x(result["ratio"]):.1f}" cy="{y:.1f}" r="5"/>')
        parts.append(f'<text class="small" x="{WIDTH - MARGIN}" y="{y + 4:.1f}" text-anchor="end">'
                     f'{result["ratio"]:.2f}</text>')
    y = bottom + 26
    legend = (("met", "goal met"), ("missed", "goal missed"), ("told", "no goal"))
    for index, (kind, words) in enumerate(legend):
        parts.append(f'<circle class="{kind}" cx="{LABELS + index * 96:.1f}" cy="{y - 4}" r="5"/>')
        parts.append(f'<text class="small" x="{LABELS + 10 + index * 96:.1f}" y="{y}">{words}</text>')
    parts.append(f'<line class="goal" x1="{LABELS + 280}" x2="{LABELS + 280}" y1="{y - 12}" y2="{y + 4}"/>')
    parts.append(f'<text class="small" x="{LABELS + 288}" y="{y}">the goal; line: middle half of the rounds</text>')
    return "\n".join(parts + ["</svg>"]) + "\n"


def goal(row, result):
    """Where the goal is on the scale."""
    if row.kind == "more":
        return (result["baseline"] + row.goal) / result["baseline"]
    return row.goal


def fitted(label):
    """Long labels are set closer, so that they stay inside of their column."""
    return f'textLength="{LABELS - 20}" lengthAdjust="spacingAndGlyphs"' if len(label) > 62 else ""
