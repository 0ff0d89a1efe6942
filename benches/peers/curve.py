"""Recall against queries a second: the settings worth having, and the rate at a recall."""

import math
import statistics

RECALLS = [0.9, 0.95, 0.99]
TARGET = 0.99


def frontier(points):
    """Of (recall, rate, ...), those that no other surpasses in both, by rising recall."""
    kept = []
    for point in sorted(points, key=lambda point: (point[0], point[1]), reverse=True):
        if not kept or point[1] > kept[-1][1]:
            kept.append(point)
    return kept[::-1]


def at_recall(points, target):
    """Queries a second at a recall, none if no setting reaches it.

    Between two settings log QPS is linear in recall; a setting above the target counts as it is.
    """
    low = None
    for point in frontier(points):
        recall, rate = point[0], point[1]
        if recall >= target:
            if low is None or recall == target:
                return rate
            share = (target - low[0]) / (recall - low[0])
            return math.exp(math.log(low[1]) + share * (math.log(rate) - math.log(low[1])))
        low = point
    return None


def rates(measured):
    """The rates at each recall of one pass: {"0.99": 1234.5 or None}."""
    points = [(point["recall"], point["qps"]) for point in measured]
    return {str(target): at_recall(points, target) for target in RECALLS}


def cpu_rates(measured):
    """The same a second of CPU: what others do on the machine counts less."""
    used = [{**point, "qps": point["qps"] / max(point["cores"], 0.01)} for point in measured]
    return rates(used)


def medians(passes):
    """One curve of several passes over the same settings."""
    by_setting = {}
    for measured in passes:
        for point in measured:
            by_setting.setdefault(str(point["setting"]), []).append(point)
    return [middle(points) for points in by_setting.values()]


def middle(points):
    """The median of every figure; recall is the same in all, or nearly."""
    out = {"setting": points[0]["setting"]}
    for name in points[0]:
        if name != "setting":
            value = statistics.median(point[name] for point in points)
            out[name] = round(value, 5 if name == "recall" else 2)
    return out


def median_ratio(pairs):
    """Of (ours, theirs), one a repetition; none where a side has none."""
    ratios = [ours / theirs for ours, theirs in pairs if ours and theirs]
    return statistics.median(ratios) if ratios else None
