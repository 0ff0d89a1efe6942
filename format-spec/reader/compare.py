#!/usr/bin/env python3
"""Holds the reader of the chapters against the program: every file of a data directory is read by both.

    compare.py DIR --cairn BIN [-v]

`cairn inspect FILE --json` and `cairn_read.py` must agree on whether a file is valid, and on every field that both give,
contents included. Files that are foreign to the formats are left out. Prints how many files of each kind there are,
those that are invalid apart ("unnamed" are parts that no manifest names: whoever wrote them did not get to the end), and
`N files agree`; the exit code is 1 if a file does not. `-v` lists the fields that only one of the two gives.
"""
import argparse
import collections
import json
import math
import os
import struct
import subprocess
import sys

import cairn_read


def inspect(binary, path):
    run = subprocess.run([binary, "inspect", path, "--json"], capture_output=True, check=False)
    try:
        return json.loads(run.stdout)
    except ValueError:
        return {"valid": False, "kind": "unknown", "crash": run.returncode, "stderr": run.stderr.decode()[-300:]}


USER_KEYS = ("payload", "payloads", "document", "settings")


def same(a, b, path):
    """Whether two plain values are one; f32 and f16 are printed in two ways."""
    if path.startswith("vectors.contents.vectors") and None not in (a, b):
        return a == b or abs(a) < 2.0**128 and abs(b) < 2.0**128 and struct.pack("<f", a) == struct.pack("<f", b)
    return type(a) is type(b) and a == b and (not isinstance(a, float) or math.copysign(1, a) == math.copysign(1, b))


def differences(a, b, path, only, users=False):
    """The paths where two JSON values differ; `only` collects the names that one of them lacks.

    Within what users stored, both must give every name.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted(set(a) ^ set(b)):
            if users:
                yield f"{path}.{name}: in one only"
            else:
                only["reader" if name in a else "inspect", f"{path}.{name}"] += 1
        for name in a:
            if name in b:
                yield from differences(a[name], b[name], f"{path}.{name}", only, users or name in USER_KEYS)
    elif isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            yield f"{path}: {len(a)} items, {len(b)} in inspect"
        for x, y in zip(a, b):
            yield from differences(x, y, path + "[]", only, users)
    elif not same(a, b, path):
        yield f"{path}: {str(a)[:60]!r}, {str(b)[:60]!r} in inspect"


def compare(binary, path, only):
    """What the two disagree on about one file; None if it is none of ours."""
    ours = cairn_read.printable(cairn_read.read_file(path, contents=True, walking=True))
    if ours["kind"] in ("foreign", "lock"):
        return None, []
    theirs = inspect(binary, path)
    if ours["valid"] != theirs["valid"]:
        why = [str(each.get("error", each.get("stderr", "no error"))) for each in (ours, theirs)]
        return ours, [f"valid: {ours['valid']} ({why[0]}), {theirs['valid']} in inspect ({why[1]})"]
    if not ours["valid"]:
        return ours, []
    return ours, list(differences(ours, theirs, ours["kind"], only))


def kind_of(path, ours):
    """What a file counts as."""
    if ours["valid"]:
        return ours["kind"]
    who = cairn_read.identity_of_path(path)
    if isinstance(who, dict) and "part_id" in who:
        shard = os.path.dirname(os.path.dirname(os.path.abspath(path)))
        if (who["part_id"], who["kind"]) not in cairn_read.manifest_entries(shard):
            return f"unnamed invalid {ours['kind']}"
    return f"invalid {ours['kind']}"


def main():
    parser = argparse.ArgumentParser(description="Compares cairn_read.py with cairn inspect.")
    parser.add_argument("folder")
    parser.add_argument("--cairn", required=True, help="the program")
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    agree, kinds, only, bad = 0, collections.Counter(), collections.Counter(), 0
    for path in sorted(os.path.join(top, name) for top, _, names in os.walk(options.folder) for name in names):
        ours, found = compare(options.cairn, path, only)
        if ours is None:
            continue
        if found:
            bad += 1
            print(f"{path}: {len(found)} differences")
            for line in found[:5]:
                print(f"    {line}")
        else:
            agree += 1
            kinds[kind_of(path, ours)] += 1
    if options.verbose:
        for (who, name), count in sorted(only.items()):
            print(f"only in {who}: {name} ({count} times)")
    print(", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))
    print(f"{agree} files agree" + (f", {bad} do not" if bad else ""))
    return 1 if bad or not agree else 0


if __name__ == "__main__":
    sys.exit(main())
