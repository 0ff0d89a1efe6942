"""What the section of filters is judged by: ratios of the medians of one run."""

# A peer counts where its recall is at least this.
HELD = 0.97


def goals(out):
    """The ratios of a section."""

    def slowest(side, held):
        """The slowest filter at the fastest setting that holds the recall."""
        rates = {}
        for name, each in out["filters"].items():
            reached = [p for p in each["points"].get(side, []) if p["recall"] >= held]
            if reached:
                rates[name] = max(point["qps"] for point in reached)
        return min(((rate, name) for name, rate in rates.items()), default=None)

    def default(each, side):
        return next(p for p in each["points"][side] if p["setting"] == "default")

    found = {"sides": {}, "unindexed": {}}
    theirs = [slowest(side, HELD) for side in ("qdrant-edge", "qdrant-edge, ACORN")]
    # Where one of theirs holds the recall at all, the better one counts.
    found["edge_slowest"] = max((each for each in theirs if each), default=None)
    found["edge_sides"] = theirs
    sides = list(next(iter(out["filters"].values()))["points"])
    for side in (side for side in sides if side.startswith("Cairn")):
        points = {name: default(each, side) for name, each in out["filters"].items()}
        worst = min((point["qps"], name) for name, point in points.items())
        ideals = [
            (each["of_ideal"][side], name)
            for name, each in out["filters"].items()
            if side in each["of_ideal"]
        ]
        found["sides"][side] = {
            "slowest": worst,
            "least_recall": min((p["recall"], name) for name, p in points.items()),
            "whole": all(point["whole"] for point in points.values()),
            "times_edge": [worst[0] / each[0] if each else None for each in theirs],
            "of_ideal": min(ideals, default=None),
        }
    for name, each in out["unindexed"].items():
        ours = default(each, "Cairn, in process")
        rates = [
            max(p["qps"] for p in points)
            for side, points in each["points"].items()
            if not side.startswith("Cairn")
        ]
        times = ours["qps"] / max(rates) if rates else None
        found["unindexed"][name] = {"qps": ours["qps"], "recall": ours["recall"], "times": times}
    return found


def goal_lines(found):
    for side, each in found["sides"].items():
        times = ", ".join("none" if t is None else f"{t:.1f}" for t in each["times_edge"])
        yield (
            f"{side}: least recall {each['least_recall'][0]:.3f} ({each['least_recall'][1]}), "
            f"limit results always: {each['whole']}, slowest {each['slowest'][0]:,.0f} "
            f"({each['slowest'][1]}), times edge / edge with ACORN at {HELD}: {times}, "
            f"least share of the better ideal: {each['of_ideal']}"
        )
    for name, each in found["unindexed"].items():
        yield f"unindexed {name}: {each}"
