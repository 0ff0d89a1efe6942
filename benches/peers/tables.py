"""The measured figures of each section as Markdown."""

import curve
import goals


def search(section):
    head = (
        "| engine | CPU s to index | wall s | to load, CPU s | on disk MB | memory MB "
        "| QPS @.95 | QPS @.99 | p50 / p99 us @.99 | cores |\n"
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    engines = section["engines"]
    rows = [(rate(engine, 0.99) or 0.0, row(engine)) for engine in engines.values()]
    rows.sort(key=lambda pair: -pair[0])
    failed = [f"| {said} | | | | | | | | | |" for said in section["failed"].values()]
    return "\n".join([head, *(text for _, text in rows), *failed])


def rate(engine, target):
    points = [(point["recall"], point["qps"]) for point in engine["curve"]]
    return curve.at_recall(points, target)


def row(engine):
    built, points = engine["built"], engine["curve"]
    reaching = [point for point in points if point["recall"] >= curve.TARGET]
    best = max(reaching, key=lambda point: point["qps"]) if reaching else None
    highest = max(point["recall"] for point in points)
    times = f"{best['p50_us']:,.0f} / {best['p99_us']:,.0f}" if best else f"(max {highest:.3f})"
    rates = [rate(engine, target) for target in (0.95, 0.99)]
    shown = [f"{value:,.0f}" if value else "" for value in rates]
    load = f"{built['load_cpu_s']:.1f}" if "load_cpu_s" in built else ""
    cores = max(point["cores"] for point in points)
    return (
        f"| {engine['label']} | {built['cpu_s']:.1f} | {built['wall_s']:.1f} | {load} "
        f"| {built['index_bytes'] / 1e6:,.0f} | {built['anon_bytes'] / 1e6:,.0f} "
        f"| {shown[0]} | {shown[1]} | {times} | {cores:.2f} |"
    )


def curves(section):
    """Every engine's frontier."""
    out = []
    for engine in section["engines"].values():
        points = [(point["recall"], point["qps"], point) for point in engine["curve"]]
        kept = [point for _, _, point in curve.frontier(points)]
        cells = [
            f"{setting(point)}: {point['recall']:.4f}, {point['qps']:,.0f}" for point in kept
        ]
        out.append(f"- {engine['label']}: {'; '.join(cells)}")
    return "\n".join(out)


def setting(point):
    value = point["setting"]
    return "/".join(f"{part:g}" for part in value) if isinstance(value, list) else value


def ingest(section):
    head = (
        "| round, side | points/s | first upsert to indexed, s | CPU s | disk MB | segments |\n"
        "|---|--:|--:|--:|--:|--:|"
    )
    names = {
        "cairn": "Cairn over HTTP, as it comes",
        "cairn-graphs": "Cairn over HTTP, with graphs",
        "edge": "qdrant-edge in process",
    }
    rows = [
        f"| {number}, {names[side]} | {figure['points_per_s']:,.0f} | {figure['indexed_s']:.2f} "
        f"| {figure['cpu_s']:.1f} | {figure['disk_bytes'] / 1e6:,.0f} | {figure['segments']} |"
        for number, figures in enumerate(section["rounds"], 1)
        for side, figure in sorted(figures.items())
    ]
    return "\n".join([head, *rows, *section["failed"].values()])


def http(section):
    facts = (
        f"Upload {section['points_per_s']:,.0f} points/s on one connection, green "
        f"{section['green_s']:.1f} s after the first upsert, {section['segments']} segment(s); in "
        f"process {section['inside_segments']}.\n\n"
    )
    head = "| how, connections or threads, hnsw_ef | recall@10 | QPS | p50 / p99 us | cores |\n"
    head += "|---|--:|--:|--:|--:|"
    rows = []
    for name, points in section["passes"].items():
        middle = curve.middle([{"setting": None, **point} for point in points])
        rows.append(
            f"| {name} | {middle['recall']:.4f} | {middle['qps']:,.0f} "
            f"| {middle['p50_us']:,.0f} / {middle['p99_us']:,.0f} | {middle['cores']:.2f} |"
        )
    return facts + "\n".join([head, *rows])


def filtered(section):
    filters = section["filters"]
    sides = list(next(iter(filters.values()))["points"]) if filters else []
    head = f"| filter | matching rows | {' | '.join(sides)} |\n|---|--:|{'--:|' * len(sides)}"
    rows = []
    for name, each in filters.items():
        cells = ["; ".join(map(filtered_point, each["points"][side])) for side in sides]
        rows.append(f"| {name} | {each['matching']:,} | {' | '.join(cells)} |")
    note = "Each cell: `hnsw_ef`: recall@10, queries a second.\n\n"
    text = note + "\n".join([head, *rows, *section["failed"].values()])
    if section.get("unindexed"):
        text += "\n\nWithout an index of the field:\n\n"
        text += filtered({"filters": section["unindexed"], "failed": {}}).removeprefix(note)
    if section.get("goals"):
        lines = goals.goal_lines(section["goals"])
        text += "\n\n" + "\n".join(f"- {line}" for line in lines)
    return text


def filtered_point(point):
    return f"{point['setting']}: {point['recall']:.3f}, {point['qps']:,.0f}"


def memory(section):
    count = section["rows"]
    lines, speeds = [], []
    for name, profile in section["profiles"].items():
        for when, key in (("loaded, queried", "loaded"), ("opened anew, queried", "opened")):
            each = profile[key]
            whole = each["total"] - each["vectors"]
            figures = [each["codes"], each["links"], each["row_map"], each["index"]]
            figures += [whole - each["index"], whole]
            cells = " | ".join(f"{figure / count:,.0f}" for figure in figures)
            lines.append(f"| {name}, {when} | {cells} | {each['vectors'] / 1e6:,.0f} |")
        own, http = profile["in_process"], profile["http"]
        speeds.append(
            f"| {name} | {profile['segments']} | {own['qps']:,.0f} | {own['recall']:.4f} "
            f"| {http['qps']:,.0f} | {http['recall']:.4f} |"
        )
    empty = next(iter(section["profiles"].values()))["empty"]["total"]
    facts = (
        f"{count:,} generated rows of {section['dim']} dimensions, `on_disk` vectors; resident "
        f"bytes a vector. A server without rows has {empty / 1e6:,.1f} MB, {empty / count:,.0f} "
        "bytes a vector of these. The vectors' own file counts as on disk: what of it is in "
        "memory is given back when asked.\n\n"
    )
    head = (
        "| profile, when | codes | links | row map | **the three** | process and the rest "
        "| all but vectors | vectors MB |"
    )
    table = "\n".join([head, "|---|--:|--:|--:|--:|--:|--:|--:|", *lines])
    head = "| profile | segments | QPS in process | recall@10 | QPS over HTTP | recall@10 |"
    speed = "\n".join([head, "|---|--:|--:|--:|--:|--:|", *speeds])
    return f"{facts}{table}\n\nThe speed of these, one query a call, one connection:\n\n{speed}"


def opening(section):
    cached = ", ".join(f"{value:.3f}" for value in section["cached_s"])
    uncached = ", ".join(f"{value:.3f}" for value in section["uncached_s"])
    resident, rows = section["resident"], section["rows"]
    each = (resident["total"] - resident["vectors"]) / rows
    first, second = section["first_pass"], section["second_pass"]
    return (
        f"{rows:,} generated rows of {section['dim']} dimensions, green {section['green_s']:.0f} s "
        f"after the first upsert, {section['segments']} segment(s), then killed with SIGKILL. From "
        f"the start of the process until it is ready with every row: {cached} s; with no file in "
        f"the page cache {uncached} s. Queries over HTTP on one connection after that: p50 / p99 "
        f"{first['p50_us']:,.0f} / {first['p99_us']:,.0f} us in the first pass, "
        f"{second['p50_us']:,.0f} / {second['p99_us']:,.0f} in the second; {each:,.0f} resident "
        "bytes a row beside the vectors."
    )
