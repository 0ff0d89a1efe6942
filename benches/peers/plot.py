"""Plots as SVG, without a library: recall against queries a second, and the rate under filters."""

import math
from xml.sax.saxutils import escape

import curve

WIDTH, HEIGHT = 960, 560
LEFT, TOP, RIGHT, BOTTOM = 70, 40, 320, 50
LEAST_RECALL = 0.8
# What misses less of the answers is drawn as if it missed this much.
LEAST_MISSED = 0.0005
MARKS = [0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999]
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
        # By the logarithm of what is missed, for what matters is near 1.
        missed = math.log10(max(1.0 - recall, LEAST_MISSED))
        first, last = math.log10(1.0 - LEAST_RECALL), math.log10(LEAST_MISSED)
        return LEFT + (missed - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(rate):
        share = (math.log10(rate) - low) / (high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    out = [*head(title), *grid(x), *levels(y, low, high)]
    used = {}
    order = sorted(lines, key=lambda name: (not name.startswith("cairn"), -reached(lines[name])))
    for at, name in enumerate(order):
        label, points = lines[name]
        family = name.split("-")[0]
        dash = DASHES[used.get(family, 0) % len(DASHES)]
        used[family] = used.get(family, 0) + 1
        out += line(family, dash, [(x(recall), y(rate)) for recall, rate in points])
        out += entry(style(family, dash), label, TOP + 8 + 18 * at)
    return "\n".join([*out, "</svg>"]) + "\n"


def head(title):
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="22" font-size="14">{escape(title)}</text>',
    ]


def reached(labelled):
    return curve.at_recall(labelled[1], curve.TARGET) or 0.0


def style(family, dash):
    width = 3 if family == "cairn" else 1.5
    return stroke(COLOURS.get(family, "#000000"), width, dash)


def stroke(colour, width, dash):
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'fill="none" stroke="{colour}" stroke-width="{width}"{dashed}'


def line(family, dash, points):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    colour = COLOURS.get(family, "#000000")
    size = 3.5 if family == "cairn" else 2
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size}" fill="{colour}"/>' for x, y in points]
    return [f'<polyline points="{path}" {style(family, dash)}/>', *dots]


def entry(drawn, label, y):
    """A line of the legend."""
    x = WIDTH - RIGHT + 16
    return [
        f'<line x1="{x}" y1="{y}" x2="{x + 30}" y2="{y}" {drawn}/>',
        f'<text x="{x + 38}" y="{y + 4}">{escape(label)}</text>',
    ]


GREY = 'stroke="#dddddd"'


def grid(x):
    """Lines of equal recall, and what the axes are."""
    out = []
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for recall in [*MARKS, 1.0]:
        at = x(recall)
        out.append(f'<line x1="{at:.1f}" y1="{TOP}" x2="{at:.1f}" y2="{bottom}" {GREY}/>')
        out.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{recall:g}</text>')
    middle = (LEFT + right) / 2
    out.append(f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">recall@10</text>')
    turned = f'transform="rotate(-90 16 {HEIGHT / 2})" text-anchor="middle"'
    out.append(f'<text x="16" y="{HEIGHT / 2}" {turned}>queries a second, one thread</text>')
    return out


def levels(y, low, high):
    """Lines of equal rate, at 1, 2 and 5 of each power of ten."""
    out = []
    for power in range(low, high + 1):
        for digit in (1, 2, 5) if power < high else (1,):
            rate = digit * 10.0**power
            at = y(rate)
            line = f'x1="{LEFT}" y1="{at:.1f}" x2="{WIDTH - RIGHT}" y2="{at:.1f}"'
            out.append(f"<line {line} {GREY}/>")
            place = f'x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end"'
            out.append(f"<text {place}>{rate:,.0f}</text>")
    return out


SIDES = {
    "Cairn, HTTP, 1": ("#c0392b", "7 3"),
    "Cairn, HTTP, 4": ("#c0392b", ""),
    "qdrant-edge": ("#2457a6", ""),
    "qdrant-edge, ACORN": ("#2457a6", "2 3"),
}


def draw_filtered(section, title):
    """Queries a second under each filter at the best recall of each side, which stands beside."""
    filters = section["filters"]
    best = {}
    for name, each in filters.items():
        for side, points in each["points"].items():
            chosen = max(points, key=lambda point: (round(point["recall"], 2), point["qps"]))
            best.setdefault(side, []).append((name, chosen["recall"], chosen["qps"]))
    rates = [rate for points in best.values() for _, _, rate in points]
    low, high = math.floor(math.log10(min(rates))), math.ceil(math.log10(max(rates)) + 1e-9)
    names = list(filters)
    step = (WIDTH - LEFT - RIGHT) / max(1, len(names))

    def x(name):
        return LEFT + step * (names.index(name) + 0.5)

    def y(rate):
        share = (math.log10(rate) - low) / max(1, high - low)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)

    out = [*head(title), *levels(y, low, high)]
    for name in names:
        at = f'x="{x(name):.1f}" y="{HEIGHT - BOTTOM + 16}"'
        out.append(f'<text {at} text-anchor="middle">{escape(name)}</text>')
    for at, (side, points) in enumerate(best.items()):
        colour, dash = SIDES.get(side, ("#000000", ""))
        drawn = stroke(colour, 2, dash)
        for far in (False, True):
            path = [
                f"{x(name):.1f},{y(rate):.1f}"
                for name, _, rate in points
                if name.startswith("far") == far
            ]
            out.append(f'<polyline points="{" ".join(path)}" {drawn}/>')
        for name, recall, rate in points:
            place = f'x="{x(name) + 4:.1f}" y="{y(rate) - 5:.1f}"'
            out.append(f'<text {place} font-size="9" fill="{colour}">{recall:.2f}</text>')
        out += entry(drawn, side, TOP + 8 + 18 * at)
    turned = f'transform="rotate(-90 16 {HEIGHT / 2})" text-anchor="middle"'
    label = "queries a second; recall@10 beside each point"
    out.append(f'<text x="16" y="{HEIGHT / 2}" {turned}>{label}</text>')
    return "\n".join([*out, "</svg>"]) + "\n"
