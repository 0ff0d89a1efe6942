"""What the comparison must show: each goal beside what a run measured."""

import statistics

import curve

TARGET = str(curve.TARGET)
# Engines that are Qdrant's, and of them those with quantization; all others are libraries.
PLAIN = "edge-f32"
HEAD = (
    "| what | Cairn | peer | ratio (each round) | by CPU time | goal | |\n"
    "|---|--:|--:|--:|--:|--:|---|"
)


class Row:
    """A comparison: pairs of (Cairn, peer), one a round, and what their median ratio must be.

    `by_cpu` are pairs of the same by CPU time, which tells more where the machine was not quiet.
    """

    def __init__(self, what, peer, pairs, sense, goal, unit="", by_cpu=()):
        self.what, self.peer, self.sense, self.goal, self.unit = what, peer, sense, goal, unit
        self.pairs = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
        self.ratio, self.by_cpu = curve.median_ratio(self.pairs), curve.median_ratio(by_cpu)

    def met(self):
        return holds(self.ratio, self.sense, self.goal)

    def __str__(self):
        goal = f"{self.sense} {self.goal:.3g}"
        if self.ratio is None:
            return f"| {self.what} | | {self.peer} | not measured | | {goal} | |"
        ours = figure(statistics.median(ours for ours, _ in self.pairs))
        theirs = figure(statistics.median(theirs for _, theirs in self.pairs))
        each = " ".join(f"{ours / theirs:.2f}" for ours, theirs in self.pairs)
        by_cpu = f"{self.by_cpu:.2f}" if self.by_cpu else ""
        each = f" ({each})" if len(self.pairs) > 1 else ""
        return (
            f"| {self.what} | {ours}{self.unit} | {self.peer} {theirs}{self.unit} "
            f"| **{self.ratio:.2f}**{each} | {by_cpu} | {goal} | {verdict(self.met())} |"
        )


class Figure:
    """A goal that is no ratio."""

    def __init__(self, what, value, sense, goal, unit):
        self.what, self.value, self.sense, self.goal, self.unit = what, value, sense, goal, unit

    def met(self):
        return holds(self.value, self.sense, self.goal)

    def __str__(self):
        goal = f"{self.sense} {self.goal:g}{self.unit}"
        value = "not measured" if self.value is None else f"**{figure(self.value)}**{self.unit}"
        return f"| {self.what} | {value} | | | | {goal} | {verdict(self.met())} |"


def holds(value, sense, goal):
    if value is None:
        return None
    return {">=": value >= goal, "<=": value <= goal, "<": value < goal}[sense]


def verdict(met):
    return {True: "met", False: "missed", None: ""}[met]


def figure(value):
    return f"{value:,.0f}" if value >= 1_000 else f"{value:.3g}"


def rows(sections):
    """All goals, those that were not measured included."""
    return [
        *search(sections.get("search")),
        *building(sections.get("search")),
        *ingestion(sections.get("ingest")),
        *http(sections.get("http")),
        resident(sections.get("memory")),
        opening(sections.get("opening")),
    ]


def fastest(section, names):
    """The engine with the highest rate at the target recall, none if no one reaches it."""

    def rate(name):
        points = [(point["recall"], point["qps"]) for point in section["engines"][name]["curve"]]
        return curve.at_recall(points, curve.TARGET)

    reaching = [(rate(name), name) for name in names if rate(name)]
    return max(reaching)[1] if reaching else None


def search(section):
    section = section or {"engines": {}, "beside": {}}
    measured = list(section["beside"])
    quantized = [name for name in measured if name.startswith("edge-") and name != PLAIN]
    libraries = [name for name in measured if not name.startswith("edge-")]
    wanted = [
        ("qdrant-edge without quantization", PLAIN, 10.0),
        ("qdrant-edge with its best quantization", fastest(section, quantized), 3.0),
        ("hnswlib efc 200", "hnswlib-200", 4.0),
        ("the fastest library", fastest(section, libraries), 1.2),
    ]
    made = []
    for title, name, goal in wanted:
        rounds = section["beside"].get(name, [])
        label = section["engines"][name]["label"] if rounds else ""
        for ours, how in (("cairn", "as it comes"), ("cairn-coded", "by graph")):
            pairs, by_cpu = ([
                (each.get(ours, {}).get(kind, {}).get(TARGET), each["peer"][kind][TARGET])
                for each in rounds
            ] for kind in ("wall", "cpu"))  # fmt: skip
            what = f"QPS at recall {TARGET}, {how}, against {title}"
            if ours == "cairn" or any(all(pair) for pair in pairs):
                made.append(Row(what, label, pairs, ">=", goal, by_cpu=by_cpu))
    return made


def building(section):
    """All that Cairn's CPU does from the first row on, against the peer's building alone. The goal
    is for what a peer makes, a graph: as it comes there may be none."""
    engines = (section or {"engines": {}})["engines"]
    made = []
    for name, goal in ((PLAIN, 1 / 5), ("hnswlib-100", 1 / 3)):
        theirs = engines.get(name, {}).get("built", {}).get("cpu_s")
        label = engines.get(name, {}).get("label", name)
        for side, how in (("cairn-coded", "graph included"), ("cairn", "as it comes, no graph")):
            ours = engines.get(side, {}).get("built", {}).get("cpu_s")
            what = f"CPU to index, {how} (Cairn: to load as well)"
            made.append(Row(what, label, [(ours, theirs)], "<=", goal, " s"))
    return made


def ingestion(section):
    rounds = (section or {"rounds": []})["rounds"]

    def pairs(side, key):
        both = [each for each in rounds if side in each and "edge" in each]
        return [(each[side][key], each["edge"][key]) for each in both]

    rate, time = "points_per_s", "indexed_s"
    what = "ingestion, points/s (HTTP, durable : in process)"
    until = "first upsert to fully indexed"
    made = [Row(what, "qdrant-edge", pairs("cairn", rate), ">=", 0.7)]
    for side, how in (("cairn", "as it comes"), ("cairn-graphs", "by graphs")):
        used = pairs(side, "cpu_s")
        taken = pairs(side, time)
        made.append(Row(f"{until}, {how}", "qdrant-edge", taken, "<=", 0.2, " s", used))
    return made


def http(section):
    passes = (section or {"passes": {}})["passes"]
    served = [point["qps"] for point in passes.get("HTTP, 4, default", [])]
    made = []
    inside = [name for name in passes if name.startswith("in process")] or ["in process, 1"]
    for name in inside:
        threads = name.rsplit(" ", 1)[1]
        pairs = list(zip(served, [point["qps"] for point in passes.get(name, [])]))
        what = f"QPS over HTTP, 4 connections, against {threads} thread(s) in process"
        made.append(Row(what, "Cairn in process", pairs, ">=", 0.7))
    return made


def resident(section):
    # Of the profile that has the most.
    profiles = section["profiles"].values() if section else []
    each = (profile["opened"]["index"] / section["rows"] for profile in profiles)
    value = max(each, default=None)
    dim = section["dim"] if section else 768
    what = f"resident bytes a vector of {dim} dimensions: codes, links, row map"
    return Figure(what, value, "<=", 640, " B")


def opening(section):
    value = section and max(section["cached_s"])
    rows = section["rows"] if section else 1_000_000
    return Figure(f"opening {rows:,} rows, process start to ready", value, "<", 1, " s")
