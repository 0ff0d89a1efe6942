#!/usr/bin/env python3
"""Damages copies of the files of a data directory and checks that the reader says so.

    damage.py DIR [--cairn BIN] [--files N] [--times N] [--seed S]

Of each kind a few files are taken. Plain damage (a flipped bit, a lost end, added bytes, a zeroed or repeated piece)
must make every file invalid; only in the log may it be a torn tail, exactly where chapter 3 says so, which is worked out
here from the sound file. No manifest is beside the copies, so that no hash of a whole file hides a weak checksum.

With `--cairn` the program reads the same copies and must agree. Then a bit is flipped and all checksums are made right
again: whether that is valid depends on the bit, and the two must agree about it.
"""
import argparse
import collections
import os
import random
import struct
import sys
import tempfile

import cairn_read
from compare import differences, inspect
from craft import reseal_envelope, seal_part, sections_of


def shortened(data, wal, count):
    """The first records of a WAL file in a file of their own, so that many copies of it are cheap."""
    records = wal["records"][:count]
    end = cairn_read.up(records[-1]["at"] + 56 + records[-1]["len"], 8) if records else 128
    head = data[:88] + struct.pack("<Q", end + 4096) + data[96:124]
    return head + struct.pack("<I", cairn_read.crc32(0, head)) + data[128:end] + bytes(4096)


def damaged(rng, data):
    """(how, offset of the first byte that differs, bytes), or None if nothing differs."""
    way, at = rng.choice(["flip"] * 4 + ["cut", "longer", "zero", "repeat"]), rng.randrange(len(data))
    if way == "flip":
        out = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
    elif way == "cut":
        out = data[:at]
    elif way == "longer":
        out = data + bytes(rng.choice([1, 8, 4096]))
    elif way == "zero":
        out = data[:at] + bytes(len(data[at : at + 512])) + data[at + 512 :]
    else:
        source = rng.randrange(len(data))
        piece = data[source : source + 512][: len(data) - at]
        out = data[:at] + piece + data[at + len(piece) :]
    first = next((i for i, (a, b) in enumerate(zip(data, out)) if a != b), min(len(data), len(out)))
    return None if out == data else (way, first, out)


def expected(kind, sound, first, out):
    """What chapter 3 says of damage to a sound WAL file; everything else is invalid."""
    if kind != "wal" or len(out) != len(sound["data"]):
        return "cut off" if kind == "wal" and len(out) < 128 else "invalid"
    if first < 128:
        return "cut off" if not any(out[128:]) else "invalid"
    records, end = sound["records"], sound["end_of_records"]
    if sound["end"]["sealed"] and first >= end:
        return "invalid"
    hit = next((r for r in records if first < cairn_read.up(r["at"] + 56 + r["len"], 8)), {"at": end})["at"]
    # Headers that the damage left as they were are proof of what had been synced.
    whole = [r for r in records if r["at"] > hit and out[r["at"] : r["at"] + 56] == sound["data"][r["at"] : r["at"] + 56]]
    if not any(out[hit:]):
        return "clean"
    return "invalid" if any(r["synced_upto"] > hit for r in whole) else "torn"


def verdict(found):
    if not found["valid"]:
        return "invalid"
    return "cut off" if found.get("cut_off") else found.get("end", {}).get("outcome", "valid")


def resealed(rng, kind, data, sound):
    """The file with one bit flipped in its contents and checksums that fit."""
    if kind == "wal":
        record = rng.choice([r for r in sound["records"] if r["len"]] or [None])
        return record and reseal_record(rng, data, sound["file_id"], record)
    if kind in ("manifest", "catalog"):
        at, bit = rng.randrange(112, len(data) - 4), 1 << rng.randrange(8)
        return reseal_envelope(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 :])
    body_len, sections = sections_of(data)
    _, _, first, length = rng.choice([s for s in sections if s[3]])
    at, bit = first + rng.randrange(length), 1 << rng.randrange(8)
    return seal_part(data[:at] + bytes([data[at] ^ bit]) + data[at + 1 : body_len], sections)


def reseal_record(rng, data, file_id, record):
    at, body = record["at"], bytearray(data[record["at"] + 56 : record["at"] + 56 + record["len"]])
    body[rng.randrange(min(len(body), 400))] ^= 1 << rng.randrange(8)
    seed = cairn_read.place_seed(file_id, at)
    head = struct.pack("<I", cairn_read.crc32(seed, bytes(body))) + data[at + 8 : at + 56]
    return data[:at] + struct.pack("<I", cairn_read.crc32(seed, head)) + head + bytes(body) + data[at + 56 + len(body) :]


class Trial:
    """Damaged copies under the path of the file they come from, read by one or two readers."""

    def __init__(self, options, folder):
        self.options, self.folder, self.counts, self.wrong = options, folder, collections.Counter(), 0

    def read(self, path, data):
        path = os.path.join(self.folder, os.path.relpath(path, self.options.folder))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(data)
        ours = cairn_read.printable(cairn_read.read_file(path, contents=True))
        return ours, inspect(self.options.cairn, path) if self.options.cairn else None, path

    def say(self, text):
        self.wrong += 1
        print(text)

    def plain(self, path, kind, sound, rng):
        change = damaged(rng, sound["data"])
        if change is None:
            return
        way, first, out = change
        want = expected(kind, sound, first, out)
        ours, theirs, copy = self.read(path, out)
        self.counts[kind, verdict(ours)] += 1
        if verdict(ours) != want:
            self.say(f"{path}: {way} at {first}: {verdict(ours)}, not {want}: {ours.get('error')}")
        if theirs is not None:
            self.agree(ours, theirs, f"{path}: {way} at {first}")
        os.remove(copy)

    def sealed(self, path, kind, sound, rng):
        out = resealed(rng, kind, sound["data"], sound)
        if out:
            ours, theirs, copy = self.read(path, out)
            self.counts[kind, "resealed, " + verdict(ours)] += 1
            self.agree(ours, theirs, f"{path}: one bit, checksums right")
            os.remove(copy)

    def agree(self, ours, theirs, what):
        if ours["valid"] != theirs["valid"]:
            self.say(f"{what}: {ours['valid']} {ours.get('error', '')}, in inspect {theirs['valid']} "
                     f"{theirs.get('error', '')}")
        elif ours["valid"]:
            for line in list(differences(ours, theirs, ours["kind"], collections.Counter()))[:3]:
                self.say(f"{what}: {line}")


def sample(options, rng):
    """A few files of each kind, the smaller ones first."""
    by_kind = collections.defaultdict(list)
    for top, _, names in os.walk(options.folder):
        for path in sorted(os.path.join(top, name) for name in names):
            who = cairn_read.identity_of_path(path)
            if isinstance(who, dict):
                by_kind[who["kind"]].append(path)
    for kind, paths in sorted(by_kind.items()):
        paths = sorted(paths, key=os.path.getsize)[: 4 * options.files]
        yield from ((kind, path) for path in rng.sample(paths, min(options.files, len(paths))))


def main():
    parser = argparse.ArgumentParser(description="Damages copies of files and checks that the reader says so.")
    parser.add_argument("folder")
    parser.add_argument("--cairn", help="the program, to be held against the same copies")
    parser.add_argument("--files", type=int, default=4, help="files of each kind")
    parser.add_argument("--times", type=int, default=30, help="copies of each file, in each way")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(options, folder)
        for kind, path in sample(options, rng):
            sound = cairn_read.read_file(path)
            if not sound["valid"] or sound.get("cut_off"):
                continue
            with open(path, "rb") as file:
                sound["data"] = file.read()
            if kind == "wal":
                data = shortened(sound["data"], sound, rng.choice([1, 3, 10, 30]))
                sound = {**cairn_read.read_wal(data, {}, False), "data": data}
            for _ in range(options.times):
                trial.plain(path, kind, sound, rng)
            for _ in range(options.times if options.cairn else 0):
                trial.sealed(path, kind, sound, rng)
    for (kind, outcome), count in sorted(trial.counts.items()):
        print(f"{kind:12} {outcome:20} {count}")
    print(f"{sum(trial.counts.values())} damaged copies, {trial.wrong} not as expected")
    return 1 if trial.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
