"""Tables and the plot from the JSON of one run or several: render.py FILE... [--record] [--readme]

Runs are merged when they are of one machine, one day and one data set: of a section the later run
counts, and searches are merged engine by engine. With `--record` the result is kept in
benches/record, with `--readme` the README shows it.
"""

import argparse
import json
import sys
from pathlib import Path

import machine
import plot
import ratios
import tables

START, END = "<!-- peers: written by benches/peers/render.py -->", "<!-- /peers -->"
SECTIONS = {
    "search": ("Search in process, one thread, one query a call", tables.search),
    "ingest": ("Ingestion", tables.ingest),
    "http": ("Cairn over HTTP", tables.http),
    "filtered": ("Search under filters", tables.filtered),
    "memory": ("Memory", tables.memory),
    "opening": ("Opening", tables.opening),
}

HOW = """How: all sides get the same float32 rows of unit length and the same queries, and answers
are judged by exact ones. In process: one query a call on one thread, medians of the repetitions; a
peer's passes and Cairn's take turns, each pass gives a ratio, and the ratio that is compared with
a goal is the median of those. Between two settings log QPS is linear in recall; a setting above
the recall counts as it is. `cores` is CPU time a second: well below 1, others had the machine, and
the ratio by CPU time (queries a second of CPU; CPU until indexed) tells more than the other.
Indexing uses all cores; Cairn's CPU includes loading, payload and payload indexes, a peer's does
not. On disk: as stored or serialized. Memory: growth of the process's own (anonymous) memory; what
is mapped from files is not in it. Ingestion: batches of 1,000 with payload and two payload indexes
from the start; Cairn over HTTP as JSON on one connection, each batch durable before its answer;
qdrant-edge in process, points made beforehand, flushed once at the end, then `optimize`. Over HTTP
the load comes from one thread on the same cores. Filters: `n %` is a range of a uniform integer;
`far n %` is `match any` over the clusters (k-means) farthest from the query until they hold so
many rows; qdrant-edge in process on one thread, its ACORN with `max_selectivity` 1."""


def merge(runs):
    """One run of several."""
    merged = runs[0]
    for run in runs[1:]:
        for key in ("machine", "date", "data", "quick", "cairn"):
            if run[key] != merged[key]:
                sys.exit(f"not to be merged: {key} is {merged[key]} and {run[key]}")
        for name, section in run["sections"].items():
            known = merged["sections"].get(name)
            if name == "search" and known:
                for part in ("engines", "beside", "failed"):
                    known[part].update(section[part])
                for engine in section["engines"]:
                    known["failed"].pop(engine, None)
            else:
                merged["sections"][name] = section
        merged["load"] += run["load"]
        merged["tree"] = sorted({*merged["tree"], *run["tree"]})
        merged["remarks"] += [said for said in run["remarks"] if said not in merged["remarks"]]
    return merged


def facts(run):
    about, data = run["machine"], run["data"]
    versions = [f"{name} {version or '(not installed)'}"
                for name, version in about["versions"].items()]  # fmt: skip
    loads = "; ".join(", ".join(map(str, load)) for load in run["load"])
    lines = [
        f"Machine: {about['cpu']}, {about['cores']} cores, {about['memory_gib']} GiB, "
        f"{about['system']}.",
        f"Load averages (1, 5, 15 minutes) at the start and end of each run: {loads}.",
        f"{run['cairn']}; repository at {', '.join(run['tree'])}.",
        f"Python {about['python']}; {', '.join(versions)}.",
        f"Data: {data['name']}, {data['rows']:,} x {data['dim']}, cosine, {data['queries']:,} "
        f"queries, k = 10, exact answers {data['truth']}.",
        *run["remarks"],
    ]
    if run["quick"]:
        lines.append("A QUICK run, to try the command: few rows and settings, no record.")
    return "\n".join(f"- {line}" for line in lines)


def goals(run):
    return "\n".join([ratios.HEAD, *map(str, ratios.rows(run["sections"]))])


def document(run, plots):
    parts = [f"# Cairn beside its peers, {run['date']}", facts(run), goals(run)]
    for name, (title, table) in SECTIONS.items():
        section = run["sections"].get(name)
        if section:
            parts += [f"## {title}", table(section)]
            parts += [f"![{title}]({plots[name]})"] if name in plots else []
            if name == "search":
                parts += ["Settings on the frontier of each engine, as `setting: recall, QPS`:"]
                parts += [tables.curves(section)]
    return "\n\n".join([*parts, "## How", HOW]) + "\n"


def draw(run):
    """The plots by section."""
    data = run["data"]
    title = f"{data['name']}, {data['rows']:,} x {data['dim']}, cosine; {run['machine']['cpu']}"
    kinds = {"search": plot.draw, "filtered": plot.draw_filtered}
    done = run["sections"]
    return {name: kind(done[name], title) for name, kind in kinds.items() if name in done}


def write(run, directory, stem):
    """The document, the plots and the JSON beside each other."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = draw(run)
    plots = {name: f"{stem}-{name}.svg" for name in drawn}
    for name, text in drawn.items():
        (directory / plots[name]).write_text(text, encoding="utf-8")
    (directory / f"{stem}.json").write_text(json.dumps(run, indent=1) + "\n", encoding="utf-8")
    path = directory / f"{stem}.md"
    path.write_text(document(run, plots), encoding="utf-8")
    return path


def record(run):
    directory = machine.ROOT / "benches" / "record" / machine.slug(run["machine"]["cpu"])
    return write(run, directory, f"{run['date']}-peers-{run['data']['slug']}")


def show_in_readme(run, recorded):
    """Replaces what stands between the two marks."""
    path = machine.ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(START, 1)
    _, after = rest.split(END, 1)
    link = recorded.relative_to(machine.ROOT)
    data = run["data"]
    block = [
        START,
        f"Beside peers in one sitting on {run['date']} ([record]({link}), {data['rows']:,} x "
        f"{data['dim']}, `benches/peers/run.sh --data DIR`):\n",
        goals(run),
    ]
    if "search" in run["sections"]:
        drawn = link.with_name(f"{link.stem}-search.svg")
        block.append(f"\n![recall against queries a second, one thread]({drawn})")
    block.append(END)
    path.write_text(before + "\n".join(block) + after, encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--record", action="store_true", help="keep it in benches/record")
    parser.add_argument("--readme", action="store_true", help="and show it in the README")
    parser.add_argument("--out", type=Path, help="directory for the document and the plot")
    options = parser.parse_args()
    run = merge([json.loads(path.read_text(encoding="utf-8")) for path in options.files])
    print(goals(run))
    if options.out:
        print(write(run, options.out, options.files[0].stem))
    if options.record or options.readme:
        recorded = record(run)
        print(recorded)
        if options.readme:
            show_in_readme(run, recorded)


if __name__ == "__main__":
    main()
