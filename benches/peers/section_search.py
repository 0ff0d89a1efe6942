"""Search in process on one thread: every engine's curve, build time and size, each beside Cairn's.

Absolute figures drift with the machine. Cairn and a peer take turns, pass after pass, and the
ratio of a pass is what counts. Cairn keeps running; one peer at a time does.
"""

import tempfile
from pathlib import Path

import curve
import processes
from families import FAMILIES

# Engines of these families are no libraries but databases.
DATABASES = ("edge-",)


def run(job):
    out = {"engines": {}, "beside": {}, "failed": {}}
    with tempfile.TemporaryDirectory(dir=job.scratch) as scratch:
        ours = {}
        for name in job.cairn:
            at = Path(scratch) / name
            ours[name] = processes.cairn(name, job.data, job.binaries, at)
            label = processes.CAIRN[name][1]
            out["engines"][name] = {"label": label, "built": ours[name].built}
            job.say(f"{label}: built with {ours[name].built['cpu_s']:.1f} s of CPU")
        passes = {name: [] for name in ours}
        for name in job.engines:
            try:
                beside(job, name, ours, passes, out)
            except processes.Failed as failure:
                out["failed"][name] = f"{FAMILIES[name][3]}: {failure}"
                job.say(f"{name} FAILED: {failure}")
        if not job.engines:
            for _ in range(job.repetitions):
                sweep_ours(job, ours, passes)
        for name, engine in ours.items():
            out["engines"][name]["curve"] = curve.medians(passes[name])
            engine.close()
    return out


def beside(job, name, ours, passes, out):
    """Builds a peer and measures it and Cairn in turns."""
    with tempfile.TemporaryDirectory(dir=job.scratch) as at:
        peer = processes.peer(name, job.data, job.threads, at)
        try:
            sweep = thin(peer.sweep) if job.quick else peer.sweep
            own, ratios = [], []
            for number in range(job.repetitions):
                # Who goes first changes, so that a drift favours neither.
                if number % 2 == 0:
                    own.append([peer.measure(setting) for setting in sweep])
                    rates = sweep_ours(job, ours, passes)
                else:
                    rates = sweep_ours(job, ours, passes)
                    own.append([peer.measure(setting) for setting in sweep])
                ratios.append({**rates, "peer": both_rates(own[-1])})
        finally:
            peer.close()
    label = FAMILIES[name][3]
    out["engines"][name] = {"label": label, "built": peer.built, "curve": curve.medians(own)}
    out["beside"][name] = ratios
    best = max(point["recall"] for point in own[0])
    reached = ratios[-1]["peer"]["wall"][str(curve.TARGET)]
    rate = f"{reached:,.0f} QPS at {curve.TARGET}" if reached else f"at most recall {best:.3f}"
    job.say(f"{label}: {rate}, built with {peer.built['cpu_s']:.1f} s of CPU")


def sweep_ours(job, ours, passes):
    """A pass over Cairn's settings; its rates at each recall."""
    rates = {}
    for name, engine in ours.items():
        sweep = thin(engine.sweep) if job.quick and len(engine.sweep) > 5 else engine.sweep
        measured = [engine.measure(setting) for setting in sweep]
        passes[name].append(measured)
        rates[name] = both_rates(measured)
    return rates


def both_rates(measured):
    return {"wall": curve.rates(measured), "cpu": curve.cpu_rates(measured)}


def thin(sweep):
    """Every third setting and the last."""
    return sweep[::3] if (len(sweep) - 1) % 3 == 0 else [*sweep[::3], sweep[-1]]
