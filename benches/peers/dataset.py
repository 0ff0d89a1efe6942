"""The data of a run: read from npy, fvecs or hdf5, or generated; always written out in one form.

The form is that of benches/src/dataset.rs: `base.f32.npy`, `queries.f32.npy`, `truth.u32.npy` and
`payload.jsonl.gz`, so that every side reads the same numbers. Rows and queries have unit length,
what is compared is the cosine, and the answers are exact. A zero vector stays as it is.
"""

import gzip
import json
from pathlib import Path

import numpy

from machine import slug
from paired import truth

K = 10
BLOCK = 50_000
# Of generated data: rows of a cluster on average, and how fast the spread falls along the axes.
CLUSTER_ROWS = 500
SPREAD_FALLS = 0.6
SPREAD = 1.5
SEED = 1


class Data:
    """A prepared directory, mapped into memory."""

    def __init__(self, directory):
        self.directory = Path(directory)
        # Mapped, but without the type that says so, which not every library takes.
        mapped = numpy.load(self.directory / "base.f32.npy", mmap_mode="r")
        self.base = numpy.asarray(mapped)
        self.queries = numpy.load(self.directory / "queries.f32.npy")
        self.truth = numpy.load(self.directory / "truth.u32.npy")[:, :K]
        self.rows, self.dim = self.base.shape
        self.about = json.loads((self.directory / "about.json").read_text(encoding="utf-8"))
        self.wanted = [set(row.tolist()) for row in self.truth]

    def payloads(self):
        with gzip.open(self.directory / "payload.jsonl.gz", "rt", encoding="utf-8") as lines:
            return [json.loads(line) for line in lines]

    def recall(self, answers):
        return recall(self.wanted, answers)


def recall(wanted, answers):
    """Share of the wanted ids, a set a query, that the answers contain."""
    hits = sum(len(ids.intersection(answer)) for ids, answer in zip(wanted, answers))
    return hits / max(1, sum(map(len, wanted)))


def prepare(source, rows, dim, queries, out):
    """Writes the directory `out` from a path, or generated where there is none."""
    out.mkdir(parents=True)
    if source is None:
        base, asked = generate(rows, dim, queries, SEED)
        name = f"generated, {len(base) // CLUSTER_ROWS or 1} clusters, seed {SEED}"
        given, payload = None, None
    else:
        base, asked, given, payload = read(Path(source), rows)
        name = Path(source).resolve().stem
        if rows and rows < len(base):
            base, given = base[:rows], None
        asked = asked[:queries]
    base, asked = unit(base), unit(asked)
    exact = truth(base, asked) if given is None else given[: len(asked)]
    numpy.save(out / "base.f32.npy", base)
    numpy.save(out / "queries.f32.npy", asked)
    numpy.save(out / "truth.u32.npy", numpy.ascontiguousarray(exact, dtype=numpy.uint32))
    with gzip.open(out / "payload.jsonl.gz", "wt", compresslevel=1, encoding="utf-8") as lines:
        for line in payload_lines(payload, len(base)):
            lines.write(line.rstrip("\n") + "\n")
    about = {
        "name": name,
        "slug": slug(name.split(",")[0]),
        "rows": len(base),
        "dim": base.shape[1],
        "queries": len(asked),
        "truth": "computed" if given is None else "given",
    }
    (out / "about.json").write_text(json.dumps(about), encoding="utf-8")
    return Data(out)


def read(path, rows):
    """Base, queries, exact answers by cosine or none, and the file of payloads or none."""
    if path.is_file():
        if path.suffix in (".hdf5", ".h5"):
            return read_hdf5(path, rows)
        raise SystemExit(f"{path}: neither a directory nor .hdf5")
    hdf5 = sorted([*path.glob("*.hdf5"), *path.glob("*.h5")])
    if hdf5:
        return read_hdf5(hdf5[0], rows)
    if list(path.glob("*base.fvecs")):
        # What the answers of such a set are nearest by is written nowhere: computed anew.
        base = read_vecs(only(path, "*base.fvecs"), rows)
        return base, read_vecs(only(path, "*query.fvecs"), None), None, None
    base = numpy.load(first(path, ["base.f32.npy", "base.f16.npy", "base.npy"]), mmap_mode="r")
    asked = numpy.load(first(path, ["queries.f32.npy", "queries.f16.npy", "queries.npy"]))
    exact = path / "truth.u32.npy"
    given = numpy.load(exact) if exact.is_file() else None
    payload = path / "payload.jsonl.gz"
    return base, asked, given, payload if payload.is_file() else None


def read_hdf5(path, rows):
    """The layout of ann-benchmarks: train, test, neighbors, and `distance` as an attribute."""
    import h5py

    with h5py.File(path) as file:
        train = file["train"]
        base = train[:rows] if rows else train[:]
        asked = file["test"][:]
        by_cosine = file.attrs.get("distance") == "angular"
        deep = "neighbors" in file and file["neighbors"].shape[1] >= K
        whole = len(base) == len(train)
        given = file["neighbors"][:] if by_cosine and deep and whole else None
    return base, asked, given, None


def read_vecs(path, rows):
    """fvecs or ivecs: each row is its length as an int32, then its elements."""
    words = numpy.memmap(path, dtype="<i4", mode="r")
    dim = int(words[0])
    if dim <= 0 or len(words) % (dim + 1):
        raise SystemExit(f"{path}: {len(words)} words are no rows of {dim}")
    table = words.reshape(-1, dim + 1)[:rows, 1:]
    return table.view("<f4") if path.suffix == ".fvecs" else table


def only(path, pattern):
    found = sorted(path.glob(pattern))
    if len(found) != 1:
        raise SystemExit(f"{path}: {len(found)} files {pattern}")
    return found[0]


def first(path, names):
    for name in names:
        if (path / name).is_file():
            return path / name
    raise SystemExit(f"{path}: none of {', '.join(names)}")


def generate(rows, dim, queries, seed):
    """Clusters around random centres, each spread along axes of its own with falling variance.

    The queries lie between two clusters, so that they are not distributed as the rows are.
    """
    random = numpy.random.default_rng(seed)
    count = max(1, rows // CLUSTER_ROWS)
    falling = (1.0 + numpy.arange(dim, dtype=numpy.float32)) ** -SPREAD_FALLS
    scale = (falling / numpy.linalg.norm(falling)).astype(numpy.float32)

    def centres(number):
        made = random.standard_normal((number, dim), dtype=numpy.float32) * scale
        return made / numpy.linalg.norm(made, axis=1, keepdims=True)

    middles = centres(count)
    turns = random.integers(0, dim, size=count)
    columns = numpy.arange(dim)

    def around(which):
        noise = random.standard_normal((len(which), dim), dtype=numpy.float32)
        for start in range(0, len(which), BLOCK):
            part = which[start : start + BLOCK]
            # A cluster is widest along axes of its own.
            axes = (columns + turns[part][:, None]) % dim
            noise[start : start + BLOCK] *= SPREAD * scale[axes]
        noise += middles[which]
        return noise

    base = around(random.integers(0, count, size=rows))
    ends = random.integers(0, count, size=(2, queries))
    asked = 0.7 * around(ends[0]) + 0.3 * around(ends[1])
    return base, asked


def unit(vectors):
    """Rows of unit length in float32."""
    out = numpy.array(vectors, dtype=numpy.float32)
    for start in range(0, len(out), BLOCK):
        block = out[start : start + BLOCK]
        lengths = numpy.linalg.norm(block, axis=1, keepdims=True)
        lengths[lengths == 0.0] = 1.0
        block /= lengths
    return out


def payload_lines(path, rows):
    """The lines of a file, or made ones with the same fields that are indexed."""
    if path is not None:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for _, line in zip(range(rows), lines):
                yield line
        return
    random = numpy.random.default_rng(SEED)
    ranks, years = random.integers(1, 15_001, size=rows), random.integers(2008, 2026, size=rows)
    for at in range(rows):
        text = f"generated row {at}"
        yield json.dumps({"rank": int(ranks[at]), "released": f"{years[at]}-06", "summary": text})
