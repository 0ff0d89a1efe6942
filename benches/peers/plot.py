"""Recall against queries a second as an SVG, without a library: every engine's frontier."""

import math
from xml.sax.saxutils import escape

import curve

WIDTH, HEIGHT = 960, 560
LEFT, TOP, RIGHT, BOTTOM = 70, 40, 320, 50
LEAST_RECALL = 0.8
# A colour a family; its variants differ in their dashes.
COLOURS = {
    "cairn": "#c0392b",
    "edge": "#2457a6",
    "hnswlib": "#2e8b57",
    "symqg": "#8e44ad",
    "rabitq": "#8e44ad",
    "faiss": "#d68910",
    "usearch": "#7f8c8d",
    "zvec": "#16a085",
    "vsag": "#b9770e",
    "scann": "#5d6d7e",
    "svs": "#1abc9c",
}
DASHES = ["", "7 3", "2 3", "9 3 2 3", "4 2", "12 4", "1 4"]


def draw(section, title):
    """The whole file."""
    lines = {}
    for name, engine in section["engines"].items():
        points = [(point["recall"], point["qps"]) for point in engine["curve"]]
        kept = [point for point in curve.frontier(points) if point[0] >= LEAST_RECALL]
        if kept:
            lines[name] = (engine["label"], kept)
    rates = [rate for _, points in lines.values() for _, rate in points] or [1.0, 10.0]
    low, high = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)))
    high = max(high, low + 1)

    def x(recall):
        share = (recall - LEAST_RECALL) / (1.0 - LEAST_RECALL)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(rate):
        share = (math.log10(rate) - low) / (high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="14">{escape(title)}</text>',
        *grid(x, y, low, high),
    ]
    used = {}
    order = sorted(lines, key=lambda name: (not name.startswith("cairn"), -reached(lines[name])))
    for at, name in enumerate(order):
        label, points = lines[name]
        family = name.split("-")[0]
        dash = DASHES[used.get(family, 0) % len(DASHES)]
        used[family] = used.get(family, 0) + 1
        out += line(family, dash, [(x(recall), y(rate)) for recall, rate in points])
        out += legend(family, dash, label, TOP + 8 + 18 * at)
    return "\n".join([*out, "</svg>"]) + "\n"


def reached(labelled):
    return curve.at_recall(labelled[1], curve.TARGET) or 0.0


def style(family, dash):
    colour = COLOURS.get(family, "#000000")
    width = 3 if family == "cairn" else 1.5
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{colour}" stroke-width="{width}"{dashed}'


def line(family, dash, points):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    colour = COLOURS.get(family, "#000000")
    size = 3.5 if family == "cairn" else 2
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>' for x, y in points]
    return [f'<polyline points="{path}" {style(family, dash)}/>', *dots]


def legend(family, dash, label, y):
    x = WIDTH - RIGHT + 16
    return [
        f'<line x1="{x}" y1="{y}" x2="{x + 30}" y2="{y}" {style(family, dash)}/>',
        f'<text x="{x + 38}" y="{y + 4}">{escape(label)}</text>',
    ]


def grid(x, y, low, high):
    grey = 'stroke="#dddddd"'
    out = []
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for step in range(0, 21, 2):
        recall = LEAST_RECALL + (1.0 - LEAST_RECALL) * step / 20
        at = x(recall)
        out.append(f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{bottom}" {grey}/>')
        out.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{recall:.2f}</text>')
    for power in range(low, high + 1):
        for digit in (1, 2, 5):
            rate = digit * 10.0**power
            if power == high and digit > 1:
                break
            at = y(rate)
            out.append(f'<line x1="{LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" {grey}/>')
            text = f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{rate:,.0f}</text>'
            out.append(text)
    middle = (LEFT + right) / 2
    out.append(f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">recall@10</text>')
    turned = f'transform="rotate(-90 16 {HEIGHT / 2})" text-anchor="middle"'
    out.append(f'<text x="16" y="{HEIGHT / 2}" {turned}>queries a second, one thread</text>')
    return out
