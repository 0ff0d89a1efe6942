"""Cairn beside its peers on the same data in one run: see run.sh, which sets up what this needs.

Keeps the figures as JSON, from which render.py makes the tables and the plot; without `--data` it
generates clustered data. A peer that cannot be installed or fails is named in the table, and the
run goes on.
"""

import argparse
import datetime
import json
import os
import platform
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

import dataset
import machine
import processes
import render
import section_filtered
import section_http
import section_ingest
import section_memory
import section_search
from families import FAMILIES

SECTIONS = {
    "search": section_search.run,
    "ingest": section_ingest.run,
    "http": section_http.run,
    "filtered": section_filtered.run,
    "memory": section_memory.memory,
    "opening": section_memory.opening,
}
# Instead of the defaults below: a trial of the whole in a few minutes.
QUICK = {
    "rows": 10_000,
    "queries": 300,
    "repetitions": 1,
    "filtered_queries": 40,
    "memory_rows": 10_000,
    "opening_rows": 50_000,
}
QUICK_ENGINES = [name for name in FAMILIES if name != "edge-product"]


class Job:
    """What a section needs to know."""

    def __init__(self, options, data, scratch):
        self.__dict__.update(vars(options))
        self.data, self.scratch, self.binaries = data, scratch, options.bin
        self.threads = os.cpu_count()

    @staticmethod
    def say(text):
        print(f"{datetime.datetime.now():%H:%M:%S} {text}", file=sys.stderr, flush=True)


def names(known):
    def parse(text):
        chosen = [name for name in text.split(",") if name]
        wrong = [name for name in chosen if name not in known]
        if wrong:
            raise argparse.ArgumentTypeError(f"{', '.join(wrong)}: known are {', '.join(known)}")
        return chosen

    return parse


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", help="directory of npy or fvecs, or an hdf5 file; without it, generated")
    add("--rows", type=int, help="only the first rows; of generated data, how many (100,000)")
    add("--dim", type=int, default=384, help="of generated data")
    add("--queries", type=int, default=1_000)
    add("--repetitions", type=int, default=3)
    add("--filtered-queries", type=int, default=200)
    add("--memory-rows", type=int, default=200_000)
    add("--memory-dim", type=int, default=768)
    add("--opening-rows", type=int, default=1_000_000)
    add("--opening-dim", type=int, default=128)
    add("--only", type=names(SECTIONS), default=list(SECTIONS), help="sections: a,b")
    add("--engines", type=names(FAMILIES), help="peers of the section search: a,b")
    add("--cairn", type=names(processes.CAIRN), default=["cairn", "cairn-coded"])
    add("--quick", action="store_true", help="few rows and settings, a few minutes")
    add("--bin", required=True, type=Path, help="where cairn and search are; run.sh gives it")
    add("--scratch", type=Path, default=Path(tempfile.gettempdir()), help="for indexes, on a disk")
    add("--out", required=True, type=Path, help="directory for the figures; run.sh gives it")
    add("--record", action="store_true", help="keep it in benches/record and show it in README.md")
    options = parser.parse_args()
    if options.quick:
        for name, value in QUICK.items():
            if getattr(options, name) == parser.get_default(name):
                setattr(options, name, value)
    if options.engines is None:
        options.engines = QUICK_ENGINES if options.quick else list(FAMILIES)
    if options.rows is None and options.data is None:
        options.rows = 100_000
    if options.quick and options.record:
        parser.error("a quick run is no record")
    return options


def remarks(load):
    if load[0] > 0.3 * os.cpu_count():
        yield (
            "The machine was NOT quiet at the start: no absolute figure here is one, and the side "
            "with more threads gets the larger share."
        )
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    if niceness:
        yield f"Niceness {niceness}."


def run(options):
    started, load = datetime.datetime.now(), machine.load()
    out = {
        "date": f"{started:%Y-%m-%d}",
        "started": f"{started:%H:%M:%S}",
        "machine": machine.facts(),
        "cairn": machine.command(str(options.bin / "cairn"), "--version"),
        "tree": [machine.tree()],
        "quick": options.quick,
        "remarks": list(remarks(load)),
        "sections": {},
    }
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        sizes = (options.rows, options.dim, options.queries)
        data = dataset.prepare(options.data, *sizes, Path(scratch) / "data")
        out["data"] = data.about
        job = Job(options, data, scratch)
        job.say(f"data: {data.about}")
        options.out.mkdir(parents=True, exist_ok=True)
        path = options.out / f"{started:%Y-%m-%d-%H%M%S}.json"
        for name in options.only:
            start = time.perf_counter()
            try:
                out["sections"][name] = SECTIONS[name](job)
            except Exception as failure:
                traceback.print_exc()
                out["remarks"].append(f"The section {name} FAILED: {failure}")
            job.say(f"{name}: {time.perf_counter() - start:.0f} s")
            # After each section, so that what is measured is kept whatever comes.
            out["load"] = [load, machine.load()]
            path.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
    return out, path


def main():
    if platform.system() != "Linux":
        sys.exit("memory and CPU time are read from /proc: this needs Linux")
    options = arguments()
    # Leaving as by an exception ends the servers and removes the indexes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))
    out, path = run(options)
    print(render.write(out, path.parent, path.stem).read_text(encoding="utf-8"))
    print(f"figures: {path}", file=sys.stderr)
    if options.record:
        recorded = render.record(out)
        render.show_in_readme(out, recorded)
        print(f"recorded in {recorded}", file=sys.stderr)
    failed = [name for name in options.only if name not in out["sections"]]
    if failed:
        sys.exit(f"sections that failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
