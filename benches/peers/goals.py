"""What the section of filters is judged by: ratios of the medians of one run."""

# A peer counts where its recall is at least this.
HELD = 0.97


def ours(side):
    return side.startswith("Cairn")


def goals(out):
    """The ratios of a section."""

    def reached(each):
        """The fastest of the peer's settings that hold the recall, with ACORN or without."""
        sides = (points for side, points in each["points"].items() if not ours(side))
        held = [p["qps"] for points in sides for p in points if p["recall"] >= HELD]
        return max(held, default=None)

    def default(each, side):
        return next(p for p in each["points"][side] if p["setting"] == "default")

    found = {"sides": {}, "unindexed": {}}
    theirs = [(reached(each), name) for name, each in out["filters"].items()]
    theirs = min((pair for pair in theirs if pair[0]), default=None)
    found["edge_slowest"] = theirs
    sides = list(next(iter(out["filters"].values()))["points"])
    for side in filter(ours, sides):
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
            "times_edge": worst[0] / theirs[0] if theirs else None,
            "of_ideal": min(ideals, default=None),
        }
    for name, each in out["unindexed"].items():
        own = default(each, "Cairn, in process")
        other = reached(each)
        times = own["qps"] / other if other else None
        found["unindexed"][name] = {"qps": own["qps"], "recall": own["recall"], "times": times}
    return found


def goal_lines(found):
    slowest = found["edge_slowest"]
    if slowest:
        yield f"qdrant-edge, slowest at {HELD}: {slowest[0]:,.0f} ({slowest[1]})"
    for side, each in found["sides"].items():
        times, ideal = each["times_edge"], each["of_ideal"]
        line = (
            f"{side}: least recall {each['least_recall'][0]:.3f} ({each['least_recall'][1]}), "
            f"limit results always: {each['whole']}, slowest {each['slowest'][0]:,.0f} "
            f"({each['slowest'][1]})"
        )
        if times:
            line += f", {times:.1f} times the slowest of qdrant-edge (>= 20)"
        if ideal:
            line += f", at least {ideal[0]:.2f} of the better ideal ({ideal[1]}; >= 0.5)"
        yield line
    for name, each in found["unindexed"].items():
        times = f", {each['times']:.1f} times qdrant-edge at {HELD}" if each["times"] else ""
        yield f"without an index, {name}: {each['qps']:,.0f}, recall {each['recall']:.3f}{times}"
