#!/usr/bin/env python3
"""Reads all golden files, and their dumps: `golden.py [FOLDER]`, by default every version in `../tests/golden`.

Whole files are read as what their magic says, under the identity in their own header; golden files that are a piece of
a file (a bitmap, a value, a body of operations, a list of paths) by the function of their chapter. A dump must have
the bytes of its file, from the first to the last.
"""
import os
import re
import struct
import sys

import cairn_read

LINE = re.compile(r"([0-9a-f]{6,})  ([0-9a-f]*)(?:\.\. (\d+) bytes)?  (.+)")


def read_bitmap(data):
    rows = struct.unpack_from("<I", data)[0]
    cairn_read.read_bitmap(data, rows, 0, "bitmap")


def read_value(data):
    _, end = cairn_read.read_value(data, 0, len(data))
    cairn_read.check(end == len(data), end, "value", "trailing bytes")


def read_paths(data):
    for at, path in enumerate(data.decode().splitlines()):
        ours = path == "LOCK" or isinstance(cairn_read.identity_of_path(path), dict)
        cairn_read.check(ours, at, "path", f"{path} is foreign")


PIECES = {"bitmap": read_bitmap, "value": read_value, "wal_ops": lambda data: cairn_read.read_ops(data, 0),
          "paths": read_paths}


def read_golden(path):
    """The kind of a golden file; raises if it is invalid."""
    name = os.path.basename(path)[:-4]
    if name not in PIECES:
        found = cairn_read.read_file(path, contents=True)
        if not found["valid"]:
            error = found.get("error", {"at": 0, "field": "magic", "why": "unknown"})
            raise cairn_read.Invalid(error["at"], error["field"], error["why"])
        return found["kind"]
    with open(path, "rb") as file:
        PIECES[name](file.read())
    return name


def check_dump(path):
    with open(path, "rb") as file:
        data = file.read()
    with open(path[:-4] + ".txt", encoding="utf-8") as file:
        at = 0
        for line in file:
            offset, digits, length, _ = LINE.fullmatch(line.rstrip("\n")).groups()
            raw = bytes.fromhex(digits)
            cairn_read.check(int(offset, 16) == at and data[at : at + len(raw)] == raw, at, "dump", "differs")
            at += int(length or len(raw))
        cairn_read.check(at == len(data), at, "dump", "does not reach the end")


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    roots = sys.argv[1:] or [os.path.join(here, "..", "tests", "golden")]
    paths = sorted(os.path.join(top, name) for root in roots for top, _, names in os.walk(root) for name in names
                   if name.endswith(".bin"))
    bad = 0
    for path in paths:
        try:
            kind = read_golden(path)
            check_dump(path)
            print(f"{os.path.basename(path)}: {kind}, valid")
        except cairn_read.Invalid as error:
            bad += 1
            print(f"{os.path.basename(path)}: INVALID: {error}")
    print(f"{len(paths)} golden files, {bad} invalid")
    return 1 if bad or not paths else 0


if __name__ == "__main__":
    sys.exit(main())
