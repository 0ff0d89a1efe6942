#!/usr/bin/env python3
"""Crafted files: each keeps every rule of the chapters, or breaks exactly one, with all checksums right.

    cases.py [--cairn BIN]

Each case has a name and says whether the file is valid. `cairn_read.py` must judge all of them so, and with `--cairn`
so must `cairn inspect`. What differs is printed, and the exit code is 1.
"""
import argparse
import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile

import zstandard

import cairn_read
from craft import (COLLECTION, contents_of, deletes, envelope, operation, ops, part, record, seal_part, sections_of, text,
                   varint, wal, wal_header)

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "v1")
EMPTY = bytes.fromhex("0c0100000000")
ID = 0x1122334455667788
pack = struct.pack


def golden(name):
    with open(os.path.join(GOLDEN, name + ".bin"), "rb") as file:
        return file.read()


# ---------------------------------------------------------------- chapter 3


def op(first, last=None, **fields):
    return dict(first=first, last=last, **fields)


def marker(last, **fields):
    return dict(kind=2, first=last, **fields)


def seal(count, last, named=None):
    return dict(kind=3, first=last, body=pack("<QQ", count, last if named is None else named))


def wal_records():
    """(name, valid, end, records): `end` is the outcome of a valid file."""
    late = marker(3, synced=99999)  # proof that all before it was synced
    yield "ops and a marker", True, "clean", [op(1, 3), marker(3, synced=500)]
    yield "a gap in seqnos", True, "clean", [op(3), op(10)]
    yield "a marker above the ops", True, "clean", [op(3), marker(9)]
    yield "a marker below the ops", False, None, [op(3), marker(2)]
    yield "ops not above a marker", False, None, [op(3), marker(9), op(9)]
    yield "ops out of order", False, None, [op(3), op(3)]
    yield "fewer ops than seqnos", False, None, [op(1, 3, body=deletes(2))]
    yield "ops cut short", False, None, [op(1, body=deletes(1)[:-8])]
    yield "first seqno 0", True, "torn", [op(0)]
    yield "first seqno 0, synced", False, None, [op(0), late]
    yield "first above last", True, "torn", [op(5, 4, body=ops())]
    yield "a marker of two seqnos", True, "torn", [op(3), dict(kind=2, first=2, last=3)]
    yield "a marker with a body", True, "torn", [op(3), marker(3, body=bytes(8))]
    yield "a marker with flags", True, "torn", [op(3), marker(3, flags=4)]
    yield "commit without run", True, "torn", [op(3, flags=1)]
    yield "ignorable ops", True, "torn", [op(3, flags=4)]
    yield "an open run", True, "clean", [op(3, flags=2)]
    yield "a run of one record", True, "clean", [op(4, flags=3)]
    yield "a marker in a run", True, "clean", [op(3, flags=2), marker(3), op(4, flags=3)]
    yield "a seal in a run", True, "clean", [op(3, flags=2), seal(1, 3)]
    yield "ops without the flag in a run", False, None, [op(3, flags=2), op(4)]
    yield "a seal", True, "clean", [op(3), seal(1, 3)]
    yield "a seal above the ops", True, "clean", [op(3), seal(1, 4)]
    yield "a seal below the ops", False, None, [op(3), seal(1, 2)]
    yield "a seal with a wrong count", False, None, [op(3), seal(2, 3)]
    yield "a seal with a wrong seqno", False, None, [op(3), seal(1, 3, 4)]
    yield "a record after a seal", False, None, [op(3), seal(1, 3), op(4)]
    yield "a seal with a short body", True, "torn", [op(3), dict(kind=3, first=3, body=bytes(8))]
    yield "an unknown kind", False, None, [op(3), dict(kind=9, first=3)]
    yield "an unknown kind, ignorable", True, "clean", [op(3), dict(kind=9, first=0, last=77, flags=4, body=b"abc"), op(4)]
    yield "an unknown kind with flags 5", True, "torn", [op(3), dict(kind=9, first=3, flags=5), op(4)]
    yield "an unknown kind counts in a seal", True, "clean", [op(3), dict(kind=9, first=3, flags=4), seal(2, 3)]
    yield "kind 0", True, "torn", [op(3), dict(kind=0, first=3)]
    yield "a zero field", True, "torn", [op(3, zero=b"\0\0\1\0\0\0")]
    yield "a zero field, synced", False, None, [op(3, zero=b"\0\0\1\0\0\0"), late]
    yield "padding", True, "torn", [dict(kind=9, first=3, flags=4, body=b"abc", pad=1)]
    yield "padding, synced", False, None, [dict(kind=9, first=3, flags=4, body=b"abc", pad=1), late]
    yield "synced upto within a record", True, "clean", [op(3), marker(3, synced=131)]
    yield "synced upto in the header", True, "torn", [op(3), marker(3, synced=120)]
    yield "a record that does not fit", True, "torn", [op(1, body=deletes(1), length=60000)]


def wal_tails():
    """What may stand after garbage at offset 128: whether it proves that the garbage had been synced."""
    def after(**fields):
        return b"garbage!" * 2 + record(144, ID, **fields)

    yield "garbage", True, b"garbage!" * 2
    yield "garbage, synced upto its offset", True, after(synced=128)
    yield "garbage, synced past it", False, after(synced=136)
    yield "garbage, an unknown kind synced past it", False, after(kind=9, synced=136)
    yield "garbage, a header whose body does not fit", False, after(synced=136, length=60000)
    yield "garbage, a header whose body does not verify", False, after(synced=136)[:-8] + b"xxxxxxxx"
    yield "garbage, a header with a body too long", True, after(synced=136, length=67108865)
    yield "garbage, a header with wrong flags", True, after(synced=136, flags=1)
    yield "a byte after zeros", True, bytes(60) + b"x"


def wal_headers():
    head = wal_header(2048, 12, ID, (11, 2571), COLLECTION)
    yield "header: a file too short", False, head + bytes(100)
    yield "header: a file too long", False, head + bytes(4000)
    yield "header: cut off", True, head[:100]
    yield "header: cut off, wrong crc", True, head[:-1] + b"\0" + bytes(1920)
    yield "header: all zero", True, bytes(2048)
    yield "header: empty", True, b""
    yield "header: zero, but not after it", False, bytes(2047) + b"x"
    yield "header: version 2", False, wal_header(2048, 12, ID, (0, 0), COLLECTION, version=2) + bytes(1920)
    yield "header: a feature", False, wal_header(2048, 12, ID, (0, 0), COLLECTION, required=2) + bytes(1920)
    yield "header: number 0", False, wal([], number=0)
    yield "header: file id 0", False, wal([], file_id=0)
    yield "header: no file before", True, wal([], previous=(0, 0))
    yield "header: a length of 130", True, wal([], length=130)


# ---------------------------------------------------------------- chapter 3b, values


def payload_table(*payloads):
    ends = [sum(map(len, payloads[:n])) for n in range(len(payloads) + 1)]
    table, raw = pack(f"<{len(ends)}I", *ends), b"".join(payloads)
    return table + bytes(-len(table) % 8) + raw + bytes(-len(raw) % 8)


def vector_block(index, presence, stride, present, mid=b"", rows=None):
    rows = bytes(stride * present) if rows is None else rows
    mid, rows = mid + bytes(-len(mid) % 8), rows + bytes(-len(rows) % 8)
    return pack("<HBBIII", index, presence, 0, stride, present, 0) + mid + rows


def upsert(*blocks, n=2):
    return operation(1, 1, n, len(blocks), pack(f"<{n}Q", *range(n)) + b"".join(blocks) + payload_table(*[EMPTY] * n))


def patch_of(value):
    return operation(3, 1, 1, 1, pack("<QII", 1, 0, 0) + payload_table(value))


def operations():
    bits = pack("<QII", 2, 0, 0)
    yield "no vectors", True, upsert()
    yield "a vector each", True, upsert(vector_block(0, 1, 4, 2))
    yield "a bitmap", True, upsert(vector_block(0, 2, 4, 1, bits))
    yield "a bitmap of all", False, upsert(vector_block(0, 2, 4, 2, pack("<QII", 3, 0, 0)))
    yield "a bitmap of none", True, upsert(vector_block(0, 2, 4, 0, pack("<QII", 0, 0, 0)))
    yield "a bit too high", False, upsert(vector_block(0, 2, 4, 1, pack("<QII", 4, 0, 0)))
    yield "wrong ranks", False, upsert(vector_block(0, 2, 4, 1, pack("<QII", 2, 1, 0)))
    yield "wrong present", False, upsert(vector_block(0, 1, 4, 1))
    yield "presence 0", False, upsert(vector_block(0, 0, 4, 2))
    yield "stride 0", False, upsert(vector_block(0, 1, 0, 2))
    yield "an index twice", False, upsert(*[vector_block(0, 1, 4, 2)] * 2)
    yield "indexes descending", False, upsert(vector_block(1, 1, 4, 2), vector_block(0, 1, 4, 2))
    yield "an upsert of no points", True, upsert(n=0)
    yield "no points, a block of presence 1", True, upsert(vector_block(0, 1, 4, 0), n=0)
    yield "no points, a block of presence 2", False, upsert(vector_block(0, 2, 4, 0), n=0)
    yield "mixed ids, all numbers", True, operation(2, 3, 1, 0, b"\1" + bytes(7) + pack("<QQ", 5, 0))
    yield "a mixed number of 16 bytes", False, operation(2, 3, 1, 0, b"\1" + bytes(7) + pack("<QQ", 5, 1))
    yield "mixed form 3", False, operation(2, 3, 1, 0, b"\3" + bytes(7) + pack("<QQ", 5, 0))
    yield "padding of mixed forms", False, operation(2, 3, 1, 0, b"\1" + bytes(6) + b"\1" + pack("<QQ", 5, 0))
    yield "id form 4", False, operation(2, 4, 1, 0, pack("<Q", 5))
    yield "operation kind 4", False, operation(4, 1, 1, 0, pack("<Q", 5))
    yield "a delete with a table", False, operation(2, 1, 1, 1, pack("<Q", 5))
    yield "operation zero", False, pack("<BBHIIIQ", 2, 1, 1, 1, 0, 24, 5)
    yield "operation length 20", False, pack("<BBHIIIQ", 2, 1, 0, 1, 0, 20, 5)
    yield "operation longer than it is", False, pack("<BBHIIIQQ", 2, 1, 0, 1, 0, 32, 5, 0)
    two = pack("<QQ", 1, 2)
    yield "a shared payload", True, operation(3, 1, 2, 1, two + pack("<II", 0, 0) + payload_table(EMPTY))
    yield "an unused payload", True, operation(3, 1, 2, 2, two + pack("<II", 0, 0) + payload_table(EMPTY, EMPTY))
    yield "a payload that is not there", False, operation(3, 1, 2, 1, two + pack("<II", 0, 1) + payload_table(EMPTY))
    yield "padding of entries", False, operation(3, 1, 1, 1, pack("<QII", 1, 0, 1) + payload_table(EMPTY))
    yield "payload: null", False, patch_of(b"\1")
    yield "payload: nothing", False, patch_of(b"")
    yield "payload: trailing", False, patch_of(EMPTY + b"\1")


def values():
    def nested(depth):
        value = b"\1"
        for _ in range(depth):
            value = b"\x0b" + pack("<I", 1 + len(value)) + b"\1" + value
        return value

    yield "null", True, b"\1"
    yield "tag 0", False, b"\0"
    yield "tag 13", False, b"\x0d"
    yield "i8", True, b"\4\x80"
    yield "i16 of 127", False, b"\5\x7f\0"
    yield "i16 of 128", True, b"\5\x80\0"
    yield "i32 of 32767", False, b"\6\xff\x7f\0\0"
    yield "i64 of 2^31 - 1", False, b"\7" + pack("<q", 2**31 - 1)
    yield "i64 of 2^31", True, b"\7" + pack("<q", 2**31)
    yield "u64 of 2^63 - 1", False, b"\x08" + pack("<Q", 2**63 - 1)
    yield "u64 of 2^63", True, b"\x08" + pack("<Q", 2**63)
    yield "NaN", True, b"\x09" + pack("<d", float("nan"))
    yield "text", True, b"\x0a\1a"
    yield "text that is not UTF-8", False, b"\x0a\1\xff"
    yield "a surrogate", False, b"\x0a\3\xed\xa0\x80"
    yield "a long varint", False, b"\x0a\x81\0a"
    yield "an array", True, b"\x0b" + pack("<I", 1) + b"\0"
    yield "an array without a count", False, b"\x0b" + pack("<I", 0)
    yield "an array of fewer items", False, b"\x0b" + pack("<I", 2) + b"\0\1"
    yield "an array of more items", False, b"\x0b" + pack("<I", 2) + b"\2\1"
    yield "128 deep", True, nested(127)
    yield "129 deep", False, nested(128)
    yield "a key twice", True, b"\x0c" + pack("<I", 7) + b"\2\1a\1\1a\2"


def object_of(value):
    body = b"\1\1a" + value
    return b"\x0c" + pack("<I", len(body)) + body


def wal_cases():
    for name, valid, end, records in wal_records():
        yield f"wal: {name}", end or valid, wal(records)
    for name, torn, tail in wal_tails():
        yield f"wal: {name}", "torn" if torn else False, wal([], tail=tail)
    yield from ((f"wal: {name}", valid, data) for name, valid, data in wal_headers())
    for name, valid, operation_bytes in operations():
        yield f"ops: {name}", valid, wal([op(1, body=ops(operation_bytes))])
    yield "ops: bytes after the last", False, wal([op(1, body=deletes(1) + bytes(8))])
    for name, valid, value in values():
        yield f"value: {name}", valid, wal([op(1, body=ops(patch_of(object_of(value))))])


# ---------------------------------------------------------------- chapters 4 and 5


def manifest(epoch=b"\1", flushed=b"\5", hashes=(0, 2**64 - 1), bounds=(10, 5, 1), segments=(), version=b"\1"):
    return version + epoch + flushed + b"".join(map(varint, (*hashes, *bounds, len(segments)))) + b"".join(segments)


def segment(number=1, rows=1, seqnos=(1, 1), parts=()):
    return b"".join(map(varint, (number, rows, *seqnos, len(parts)))) + b"".join(parts)


def part_entry(number=1, kind=5, name="", source=b"\0", recall=(), origin=b"\0"):
    points = b"".join(varint(setting) + varint(share) for setting, share in recall)
    return varint(number) + bytes([kind]) + text(name) + varint(4160) + bytes(32) + source + b"\0" + varint(len(recall)) + points + origin


def one_part(**fields):
    return manifest(segments=[segment(parts=[part_entry(**fields)])])


def manifests():
    nines = b"\xff" * 9
    yield "a part", True, one_part()
    yield "recall", True, one_part(recall=[(1, 0), (1, 2), (2**32 - 1, 10000)])
    yield "recall above one", False, one_part(recall=[(1, 10001)])
    yield "settings descending", False, one_part(recall=[(2, 1), (1, 1)])
    yield "version 2", False, manifest(version=b"\2")
    yield "hashes reversed", False, manifest(hashes=(5, 4))
    yield "one hash", True, manifest(hashes=(5, 5))
    yield "segment 0", False, manifest(segments=[segment(0)])
    yield "a segment not below the next", False, manifest(segments=[segment(5)])
    yield "a segment twice", False, manifest(segments=[segment(), segment()])
    yield "a part in two segments", False, manifest(segments=[segment(n, parts=[part_entry()]) for n in (1, 2)])
    yield "part 0", False, one_part(number=0)
    yield "a part not below the next", False, one_part(number=10)
    yield "part kind 0", False, one_part(kind=0)
    yield "part kind 12", False, one_part(kind=12)
    yield "a rows part with a name", True, one_part(name="x")
    yield "a name that is not UTF-8", False, one_part(kind=1, name=b"\xff")
    yield "a graph without a source", True, one_part(kind=3)
    yield "rows with a source", True, one_part(source=b"\1" + bytes(32))
    yield "an option of 2", False, one_part(source=b"\2")
    yield "an origin", True, one_part(origin=b"\1" + COLLECTION + varint(2**32 - 1) + varint(2**64 - 1))
    yield "an origin of part 0", False, one_part(origin=b"\1" + COLLECTION + b"\1\0")
    yield "an origin of shard 2^32", False, one_part(origin=b"\1" + COLLECTION + varint(2**32) + b"\1")
    yield "an origin of 2", False, one_part(origin=b"\2" + COLLECTION + b"\1\1")
    yield "seqnos reversed", False, manifest(segments=[segment(seqnos=(2, 1))])
    yield "no rows", True, manifest(segments=[segment(rows=0)])
    yield "nothing used", True, manifest(bounds=(0, 0, 0))
    yield "trailing bytes", False, manifest() + b"\0"
    yield "a list that is too long", False, manifest()[:-1] + varint(2**40)
    yield "an epoch of 33 bits", False, manifest(epoch=varint(2**32))
    yield "a u32 in 5 bytes", True, manifest(epoch=b"\x81\x80\x80\x80\0")
    yield "a u32 in 6 bytes", False, manifest(epoch=b"\x81\x80\x80\x80\x80\0")
    yield "a u64 in 10 bytes", True, manifest(flushed=b"\x85" + b"\x80" * 8 + b"\0")
    yield "a u64 in 11 bytes", False, manifest(flushed=b"\x85" + b"\x80" * 9 + b"\0")
    yield "the greatest u64", True, manifest(flushed=nines + b"\1")
    yield "a u64 of 65 bits", False, manifest(flushed=nines + b"\2")
    yield "no body", False, b""


def vector(name="", dim=4, metric=1, element=1, codec=1):
    return text(name) + varint(dim) + bytes([metric, element, 16, 100, 1, 7, codec])


def field(path="a", kind=1, settings=EMPTY):
    return text(path) + bytes([kind]) + text(settings)


def collection(number=1, name="c", vectors=(), fields=(), paused=0, document=b"", shards=(0,)):
    compaction = pack("<d", 0.2) + bytes([1, 0, 0, 0, 1, 1, 4, 0, 0, paused])
    schema = b"\1" + varint(len(vectors)) + b"".join(vectors) + varint(len(fields)) + b"".join(fields) + compaction
    return number.to_bytes(16, "big") + text(name) + schema + text(document) + text(bytes(shards)) + b"\0"


def catalog(*collections, aliases=()):
    pairs = b"".join(text(alias) + text(name) for alias, name in aliases)
    return b"\1" + varint(len(collections)) + b"".join(collections) + varint(len(aliases)) + pairs


def catalogs():
    yield "all of it", True, catalog(collection(vectors=[vector()], fields=[field()]), aliases=[("x", "c")])
    yield "an id twice", False, catalog(collection(), collection(name="d"))
    yield "a name twice", False, catalog(collection(), collection(2))
    yield "an alias twice", False, catalog(collection(), aliases=[("x", "c"), ("x", "c")])
    yield "an alias of nothing", True, catalog(aliases=[("x", "c")])
    yield "a shard twice", False, catalog(collection(shards=(1, 1)))
    yield "a vector twice", False, catalog(collection(vectors=[vector(), vector()]))
    yield "a field twice", False, catalog(collection(fields=[field(), field()]))
    yield "a dim of 0", True, catalog(collection(vectors=[vector(dim=0)]))
    yield "metric 0", False, catalog(collection(vectors=[vector(metric=0)]))
    yield "metric 5", False, catalog(collection(vectors=[vector(metric=5)]))
    yield "element 4", False, catalog(collection(vectors=[vector(element=4)]))
    yield "the last codec", True, catalog(collection(vectors=[vector(codec=10)]))
    yield "codec 0", False, catalog(collection(vectors=[vector(codec=0)]))
    yield "codec 11", False, catalog(collection(vectors=[vector(codec=11)]))
    yield "field type 8", True, catalog(collection(fields=[field(kind=8)]))
    yield "field type 9", False, catalog(collection(fields=[field(kind=9)]))
    yield "a bool of 2", False, catalog(collection(paused=2))
    yield "a name that is not UTF-8", False, catalog(collection(name=b"\xff"))
    yield "settings that are no value", True, catalog(collection(fields=[field(settings=b"\xff")]))
    yield "a document that is no value", True, catalog(collection(document=b"\xff"))


def envelope_cases():
    yield from ((f"manifest: {name}", valid, envelope(b"CAIRNMAN", body)) for name, valid, body in manifests())
    sound = envelope(b"CAIRNMAN", manifest())
    yield "manifest: a byte less", False, sound[:-1]
    yield "manifest: a byte more", False, sound + b"\0"
    yield "manifest: a feature", False, envelope(b"CAIRNMAN", manifest(), required=4)
    yield "manifest: number 0", False, envelope(b"CAIRNMAN", manifest(), number=0)
    for name, valid, body in catalogs():
        yield f"catalog: {name}", valid, envelope(b"CAIRNCAT", body, collection=bytes(16))
    yield "catalog: a collection", False, envelope(b"CAIRNCAT", catalog())
    yield "catalog: a shard", False, envelope(b"CAIRNCAT", catalog(), collection=bytes(16), shard=1)


# ---------------------------------------------------------------- chapter 2


def container_cases():
    """The frame: what holds for parts of all kinds."""
    for name in ("rows_mixed", "vectors_f32", "graph", "payload", "columns_keyword", "tombstones", "patches"):
        kind, sections = contents_of(golden(name))
        derived = kind in cairn_read.DERIVED
        yield f"{kind}: sound", True, part(kind, sections)
        yield f"{kind}: sections reversed", True, part(kind, sections[::-1])
        yield f"{kind}: an unknown section first", True, part(kind, [("XTRA", b"x"), *sections])
        for tag, _ in sections:
            yield f"{kind}: no {tag}", False, part(kind, [s for s in sections if s[0] != tag])
            yield f"{kind}: {tag} longer", False, part(kind, [(t, s + bytes(8) * (t == tag)) for t, s in sections])
        yield f"{kind}: version 2", False, part(kind, sections, version=2)
        yield f"{kind}: a feature", False, part(kind, sections, required=1 << 16)
        yield f"{kind}: source flag", False, part(kind, sections, flags=int(not derived), source=bytes(32))
        yield f"{kind}: flags 2", False, part(kind, sections, flags=2 + derived)
        yield f"{kind}: part 0", False, part(kind, sections, part_id=0)
        yield f"{kind}: blocks of 4096", False, part(kind, sections, block_len=4096)
    yield "sparse: any version", True, part("sparse", [("ABCD", b"x")], version=2)
    yield "sparse: version 0", False, part("sparse", [("ABCD", b"x")], version=0)
    yield "sparse: no sections", True, part("sparse", [])
    yield "sparse: 256 sections", True, part("sparse", [(f"{n:04}", b"") for n in range(256)])
    yield "sparse: 257 sections", False, part("sparse", [(f"{n:04}", b"") for n in range(257)])
    yield "sparse: a tag twice", False, part("sparse", [("ABCD", b"")] * 2)
    yield "sparse: many blocks", True, part("sparse", [("ABCD", b"x" * 100000)])


def frame_cases():
    sound = part("sparse", [("ABCD", b"x" * 5000), ("EFGH", b"y")])
    body_len, (first, second) = sections_of(sound)
    body = sound[:body_len]

    def patched(at, raw):
        return body[:at] + raw + body[at + len(raw) :]

    yield "a gap between sections", seal_part(body, [first, (second[0], 0, second[2] + 4096, 1)])
    yield "a section not aligned", seal_part(body, [first, (second[0], 0, second[2] + 8, 1)])
    yield "a section entry that is not zero", seal_part(body, [first, (second[0], 1, *second[2:])])
    yield "a section past the end", seal_part(body, [first, (*second[:3], 5000)])
    yield "a section of 2^64 - 1 bytes", seal_part(body, [first, (*second[:3], 2**64 - 1)])
    yield "sections that overlap", seal_part(body, [(*first[:3], 3000), second])
    yield "sections out of order", seal_part(body, [second, first])
    yield "a body that is too long", seal_part(body + bytes(4096), [first, second])
    yield "a body that is not aligned", seal_part(body[:-8], [first, second])
    yield "a wrong block count", seal_part(body, [first, second], block_count=5)
    yield "padding after the header", seal_part(patched(200, b"x"), [first, second])
    yield "padding between sections", seal_part(patched(4096 + 5000, b"x"), [first, second])
    yield "container version 2", seal_part(patched(8, pack("<I", 2)), [first, second])
    yield "kind 10", seal_part(patched(12, pack("<I", 10)), [first, second])
    yield "zero bytes of the header", seal_part(patched(110, b"x"), [first, second])


# ---------------------------------------------------------------- chapters 6 to 12


def bitmap(rows, found):
    head, bodies, offset = b"", b"", 1 + -(-rows // 65536)
    for first in range(0, rows, 65536):
        n, here = min(65536, rows - first), [row - first for row in found if first <= row < first + 65536]
        head += pack("<II", len(here), offset)
        if len(here) in (0, n):
            continue
        body = pack(f"<{len(here)}H", *here) if -(-len(here) // 4) < -(-n // 64) else bits(n, here)
        bodies += body + bytes(-len(body) % 8)
        offset = 1 + -(-rows // 65536) + len(bodies) // 8
    return pack("<II", rows, len(found)) + head + bodies


def bits(n, found):
    return sum(1 << row for row in found).to_bytes(8 * -(-n // 64), "little")


def rows_part(numbers, uuids, rank, by_rank, seqnos, flags=None, words=None):
    n = len(numbers) + len(uuids)
    blocks = max(1, -(-n * 10 // 256))
    words = words or cairn_read.filter_of([pack("<Q", i) for i in numbers] + uuids, blocks)
    meta = pack("<IIIIQQ32x", n, len(numbers), rank is None if flags is None else flags, blocks, min(seqnos, default=0),
                max(seqnos, default=0))
    tables = [pack(f"<{len(t or ())}I", *t or ()) for t in (rank, by_rank)]
    return part("rows", [("META", meta), ("NUMS", pack(f"<{len(numbers)}Q", *numbers)), ("UUID", b"".join(uuids)),
                         ("RANK", tables[0]), ("ROWS", tables[1]), ("SEQN", pack(f"<{n}Q", *seqnos)),
                         ("FILT", pack(f"<{len(words)}I", *words))])


def rows_cases():
    yield "no rows", True, rows_part([], [], None, None, [])
    yield "no rows, flag clear", False, rows_part([], [], [], [], [], flags=0)
    yield "in order", True, rows_part([1, 2], [], None, None, [3, 4])
    yield "in order, with tables", False, rows_part([1, 2], [], [0, 1], [0, 1], [3, 4])
    yield "swapped", True, rows_part([1, 2], [], [1, 0], [1, 0], [3, 4])
    yield "flag and tables", False, rows_part([1, 2], [], [1, 0], [1, 0], [3, 4], flags=1)
    yield "a rank twice", False, rows_part([1, 2], [], [1, 1], [1, 1], [3, 4])
    yield "turned", True, rows_part([1, 2, 3], [], [1, 2, 0], [2, 0, 1], [3, 4, 5])
    yield "not the inverse", False, rows_part([1, 2, 3], [], [1, 2, 0], [1, 2, 0], [3, 4, 5])
    yield "a rank out of range", False, rows_part([1, 2], [], [1, 2], [1, 0], [3, 4])
    yield "an id twice", False, rows_part([1, 1], [], None, None, [3, 4])
    yield "UUIDs out of order", False, rows_part([], [b"b" * 16, b"a" * 16], None, None, [3, 4])
    yield "a filter of all bits", False, rows_part([1, 2], [], None, None, [3, 4], words=[2**32 - 1] * 8)


def vectors_part(dim, element, rows, present, data, stride=None):
    stride = dim * {1: 4, 2: 2, 3: 1}[element] if stride is None else stride
    meta = pack("<IIIIQI36x", rows, dim, element, 1, stride, len(present))
    return part("vectors", [("DATA", data), ("PRES", bitmap(rows, present)), ("META", meta)])


def vectors_cases():
    yield "one", True, vectors_part(2, 1, 1, [0], bytes(8))
    yield "none", True, vectors_part(2, 1, 0, [], b"")
    yield "NaN", True, vectors_part(1, 1, 1, [0], pack("<f", float("nan")))
    yield "dim 0", False, vectors_part(0, 1, 1, [0], b"")
    yield "dim 65536", True, vectors_part(65536, 3, 1, [0], bytes(65536))
    yield "dim 65537", False, vectors_part(65537, 3, 1, [0], bytes(65537))
    yield "a wrong stride", False, vectors_part(2, 1, 1, [0], bytes(9), stride=9)
    yield "an absent row", True, vectors_part(2, 3, 3, [0, 2], b"ab\0\0cd")
    yield "an absent row that is not zero", False, vectors_part(2, 3, 3, [0, 2], b"abxxcd")


def graph_part(base, levels, entry=0, max_level=0, m=2, offsets=(0,), neighbours=(), nodes=None):
    m0, upper = 2, [row for row, level in enumerate(levels) if 0 < level < 255]
    lists = [sum(levels[row] for row in upper[:i]) for i in range(len(upper) + 1)]
    slots = b"".join(pack("<3I", len(items), *items, *[0] * (m0 - len(items))) for items in base)
    nodes = sum(level < 255 for level in levels) if nodes is None else nodes
    meta = pack("<10IQ16x", len(base), nodes, m, m0, 7, entry, max_level, len(upper), lists[-1], len(neighbours), 1)
    tables = [pack(f"<{len(t)}I", *t) for t in (upper, lists, offsets, neighbours)]
    return part("graph", [("BASE", slots), ("LEVL", bytes(levels)), *zip(("UROW", "ULST", "UOFF", "UNBR"), tables),
                          ("META", meta)])


def graph_cases():
    none = 2**32 - 1
    pair = [[1], [0], []]
    yield "three nodes", True, graph_part([[1], [0, 2], [1]], [0, 0, 0])
    yield "a neighbour of itself", True, graph_part([[0], [0, 2], [1]], [0, 0, 0])
    yield "a neighbour twice", True, graph_part([[1, 1], [0, 2], [1]], [0, 0, 0])
    yield "a neighbour out of range", False, graph_part([[3], [], []], [0, 0, 0])
    yield "a neighbour that is no node", False, graph_part([[1], [], []], [0, 255, 0])
    yield "neighbours of no node", False, graph_part([[], [0], []], [0, 255, 0])
    yield "an entry that is no node", False, graph_part([[], [], []], [255, 0, 0])
    yield "a wrong max_level", False, graph_part([[], [], []], [0, 0, 0], max_level=1)
    yield "wrong nodes", False, graph_part([[], [], []], [0, 0, 0], nodes=2)
    yield "no entry", False, graph_part([[], [], []], [0, 0, 0], entry=none)
    yield "no nodes", True, graph_part([[], []], [255, 255], entry=none)
    yield "no nodes, an entry", False, graph_part([[], []], [255, 255])
    yield "no rows", True, graph_part([], [], entry=none)
    yield "an upper layer", True, graph_part(pair, [1, 1, 0], 0, 1, offsets=(0, 1, 2), neighbours=(1, 0))
    yield "a neighbour below its layer", False, graph_part(pair, [1, 1, 0], 0, 1, offsets=(0, 1, 2), neighbours=(2, 0))
    yield "a node above the entry", False, graph_part(pair, [0, 1, 0], offsets=(0, 0))
    yield "offsets descending", False, graph_part(pair, [1, 1, 0], 0, 1, offsets=(0, 2, 1), neighbours=(1,))
    yield "more than m", False, graph_part(pair, [1, 1, 0], 0, 1, m=1, offsets=(0, 2, 2), neighbours=(1, 0))
    yield "level 254", True, graph_part([[]], [254], max_level=254, offsets=(0,) * 255)


def raw_block(payloads):
    ends = [sum(map(len, payloads[: n + 1])) for n in range(len(payloads))]
    return pack(f"<{len(ends)}I", *ends) + b"".join(payloads)


def squeeze(raw, **options):
    return zstandard.ZstdCompressor(**options).compress(raw)


def shorter(raw):
    return min(squeeze(raw), raw, key=len)


def payload_sections(blocks, store=shorter):
    data, index, row, total = b"", b"", 0, 0
    for payloads in blocks:
        raw = raw_block(payloads)
        index += pack("<QII", len(data), row, len(raw))
        data, row, total = data + store(raw), row + len(payloads), total + len(raw)
    return data, index + pack("<QII", len(data), row, 0), row, total


def payload_part(blocks, store=shorter):
    data, index, rows, total = payload_sections(blocks, store)
    return part("payload", [("DATA", data), ("INDX", index), ("META", pack("<IIQQ40x", rows, len(blocks), 9, total))])


def payload_of(size):
    """A payload of exactly so many bytes."""
    for length in range(max(0, size - 15), size):
        if len(found := object_of(b"\x0a" + varint(length) + b"x" * length)) == size:
            return found
    raise ValueError(size)


def payload_cases():
    long = [[payload_of(5000)]]
    yield "no rows", True, payload_part([])
    yield "two rows", True, payload_part([[EMPTY, EMPTY]])
    yield "not packed greedily", False, payload_part([[EMPTY], [EMPTY]])
    yield "16384 bytes", True, payload_part([[payload_of(16384 - 14), EMPTY], [EMPTY]])
    yield "16384 bytes in two blocks", False, payload_part([[payload_of(16384 - 14)], [EMPTY]])
    yield "16385 bytes of two rows", False, payload_part([[payload_of(16384 - 13), EMPTY]])
    yield "16385 bytes in two blocks", True, payload_part([[payload_of(16384 - 13)], [EMPTY]])
    yield "one long row", True, payload_part([[EMPTY], [payload_of(70000)], [EMPTY]])
    yield "stored as it is", True, payload_part(long, lambda raw: raw)
    yield "compressed, and longer", False, payload_part([[EMPTY]], squeeze)
    yield "a frame without its length", True, payload_part(long, lambda raw: squeeze(raw, write_content_size=False))
    yield "a frame with a checksum", True, payload_part(long, lambda raw: squeeze(raw, write_checksum=True))
    yield "a frame with a wrong checksum", False, payload_part(long, lambda raw: squeeze(raw, write_checksum=True)[:-1] + b"\0")
    yield "a byte after the frame", False, payload_part(long, lambda raw: squeeze(raw) + b"\0")
    yield "two frames", False, payload_part(long, lambda raw: squeeze(raw[:100]) + squeeze(raw[100:]))
    yield "a skippable frame too", False, payload_part(long, lambda raw: squeeze(raw) + pack("<II", 0x184D2A50, 0))
    yield "a frame cut short", False, payload_part(long, lambda raw: squeeze(raw)[:-1])
    yield "a frame of less", False, payload_part(long, lambda raw: squeeze(raw[:-1]))
    yield "a frame of more", False, payload_part(long, lambda raw: squeeze(raw + b"\0"))
    yield "null", False, payload_part([[b"\1"]])
    yield "an array", False, payload_part([[b"\x0b\1\0\0\0\0"]])
    yield "nothing", False, payload_part([[b"", EMPTY]])
    yield "a byte after a payload", False, payload_part([[EMPTY + b"\1"]])
    yield "ends descending", False, payload_part([[EMPTY, EMPTY]], lambda raw: pack("<II", 12, 6) + EMPTY * 2)
    yield "ends that do not reach", False, payload_part([[EMPTY, EMPTY]], lambda raw: pack("<II", 6, 11) + EMPTY * 2)


def column_part(tag, sections, rows, pairs, distinct, has_value, indexed, low=bytes(8), high=bytes(8), flags=0, without=()):
    sections = [(name, bitmap(rows, raw) if isinstance(raw, list) else raw) for name, raw in sections]
    meta = pack("<IIQQQIIII8s8sQ24x", tag, rows, 5, pairs, distinct, len(has_value), 0, indexed, flags, low, high, 7)
    sections += [("OPEN", bitmap(rows, list(without))), ("HASV", bitmap(rows, has_value))]
    return part("column", [*sections, ("HNUL", bitmap(rows, [])), ("META", meta)])


def number_part(code, pairs, rows=10, distinct=None, has_value=None, tag=None, extremes=None, without=()):
    raw = b"".join(pack("<" + code, *key) if isinstance(key, tuple) else pack("<" + code, key) for key, _ in pairs)
    found = sorted({row for _, row in pairs})
    distinct = len({key for key, _ in pairs}) if distinct is None else distinct
    extremes = extremes or ((raw[:8], raw[-8:]) if pairs and code in "qd" else (bytes(8), bytes(8)))
    sections = [("KEYS", raw), ("ROWS", pack(f"<{len(pairs)}I", *[row for _, row in pairs]))]
    tag = tag or {"q": 2, "d": 3, "16s": 6, "2d": 7}[code]
    return column_part(tag, sections, rows, len(pairs), distinct,
                       found if has_value is None else has_value, len(found), *extremes, without=without)


def varint(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def gaps(rows):
    return b"".join(varint(n) for n in [len(rows), *rows[:1], *(b - a for a, b in zip(rows, rows[1:]))])


def dictionary(values, rows, as_list=None):
    post, texts, offsets, ends, found = b"", b"", [0], [0], set()
    for value, of_value in values:
        words = pack("<Q", len(of_value)) + bits(rows, of_value)
        listed = of_value == sorted(of_value) and len(gaps(of_value)) < len(words) if as_list is None else as_list
        post += gaps(of_value) if listed else words
        texts, found = texts + value, found | set(of_value)
        offsets.append(len(post))
        ends.append(len(texts))
    tables = [pack(f"<{len(t)}Q", *t) for t in (offsets, ends)]
    sections = [("POST", post), ("POFF", tables[0]), ("TEXT", texts), ("TOFF", tables[1])]
    return sections, (rows, sum(len(r) for _, r in values), len(values), sorted(found), len(found))


def keyword_part(values, rows=10, as_list=None):
    sections, figures = dictionary(values, rows, as_list)
    return column_part(1, sections, *figures)


def text_part(values, places=None, many=(), rows=10):
    """Tokens with their rows; `places` is the bytes of the positions of each token."""
    sections, figures = dictionary(values, rows)
    if places is not None:
        ends = [0, *itertools.accumulate(map(len, places))]
        sections += [("POSN", b"".join(places)), ("PNOF", pack(f"<{len(ends)}Q", *ends))]
    return column_part(8, [*sections, ("MANY", list(many))], *figures, flags=int(places is not None))


def column_cases():
    yield "integers", True, number_part("q", [(-5, 1), (3, 0), (3, 2)])
    yield "no pairs", True, number_part("q", [])
    yield "no rows", True, number_part("q", [], rows=0)
    yield "a pair twice", False, number_part("q", [(3, 1), (3, 1)])
    yield "keys descending", False, number_part("q", [(3, 1), (-3, 1)])
    yield "rows descending", False, number_part("q", [(3, 2), (3, 1)])
    yield "a row out of range", False, number_part("q", [(3, 10)], has_value=[])
    yield "a pair not in HASV", False, number_part("q", [(3, 1)], has_value=[2])
    yield "open rows", True, number_part("q", [(3, 1)], has_value=[0, 1, 9], without=[0, 9])
    yield "a pair in an open row", False, number_part("q", [(3, 1)], has_value=[0, 1], without=[1])
    yield "an open row without a value", False, number_part("q", [(3, 1)], has_value=[0, 1], without=[2])
    yield "a row that is neither", False, number_part("q", [(3, 1)], has_value=[0, 1])
    yield "wrong distinct", False, number_part("q", [(3, 1)], distinct=2)
    yield "floats", True, number_part("d", [(float("-inf"), 2), (-1.5, 1), (0.0, 0), (float("inf"), 0)])
    yield "floats descending", False, number_part("d", [(-1.0, 1), (-2.0, 0)])
    yield "NaN", False, number_part("d", [(float("nan"), 1)])
    yield "-0", False, number_part("d", [(-0.0, 1)])
    yield "keywords", True, keyword_part([(b"", [1]), (b"a", [1, 2, 3, 4]), (b"b", [2])])
    yield "no keywords", True, keyword_part([])
    everywhere = list(range(200))
    yield "gaps that should be words", False, keyword_part([(b"a", everywhere)], 200, as_list=True)
    yield "words where gaps would do", False, keyword_part([(b"a", [1, 2, 3])], 10, as_list=False)
    yield "few rows as gaps", True, keyword_part([(b"a", list(range(10)))], 10)
    yield "all rows as words", True, keyword_part([(b"a", everywhere)], 200)
    yield "a row twice", False, keyword_part([(b"a", [1, 1])], as_list=True)
    yield "a row beyond", False, keyword_part([(b"a", [10])], as_list=True)
    yield "no postings", False, keyword_part([(b"a", [])])
    yield "keywords descending", False, keyword_part([(b"b", [1]), (b"a", [2])])
    yield "a keyword twice", False, keyword_part([(b"b", [1]), (b"b", [2])])
    yield "a keyword that is not UTF-8", False, keyword_part([(b"\xff", [1])])
    yield "a character cut in two", False, keyword_part([(b"a\xc3", [1]), (b"\xbc", [1])])
    yield "postings descending", False, keyword_part([(b"a", [2, 1])])
    yield "datetimes", True, number_part("q", [(-5, 1), (3, 0), (3, 2)], tag=5)
    yield "datetimes without bounds", False, number_part("q", [(3, 0)], tag=5, extremes=(bytes(8), bytes(8)))
    yield "uuids", True, number_part("16s", [(bytes(16), 1), (b"\1" * 16, 1), (b"\xff" * 16, 0)])
    yield "uuids descending", False, number_part("16s", [(b"\1" * 16, 1), (bytes(16), 1)])
    yield "places", True, number_part("2d", [((-180.0, -90.0), 1), ((13.4, 52.5), 0), ((180.0, 90.0), 2)])
    yield "places by longitude", False, number_part("2d", [((-90.0, 80.0), 1), ((-89.0, -80.0), 0)])
    yield "places along the curve", True, number_part("2d", [((-89.0, -80.0), 0), ((-90.0, 80.0), 1)])
    yield "a place off the globe", False, number_part("2d", [((0.0, 90.5), 1)])
    yield "a place nowhere", False, number_part("2d", [((float("nan"), 0.0), 1)])
    yield "a place at -0", False, number_part("2d", [((-0.0, 1.0), 1)])
    yield "tokens", True, text_part([(b"a", [1, 2]), (b"b", [2])], many=[2])
    yield "no tokens", True, text_part([])
    yield "tokens with places", True, text_part([(b"a", [1, 2]), (b"b", [2])], [b"\0\3\2", b"\2"])
    yield "places of a row too few", False, text_part([(b"a", [1, 2])], [b"\0"])
    yield "places of a row too many", False, text_part([(b"a", [1, 2])], [b"\0\0\0"])
    yield "a place twice", False, text_part([(b"a", [1])], [b"\1\0"])
    yield "places that do not end", False, text_part([(b"a", [1])], [b"\1"])
    yield "a place too far", False, text_part([(b"a", [1])], [varint(1 << 32)])
    yield "many rows", True, keyword_part([(b"a", list(range(0, 200, 2))), (b"b", [1])], rows=200)
    yield "bools", True, column_part(4, [("TRUE", [1]), ("FALS", [1, 2])], 10, 3, 2, [1, 2], 2)
    yield "one bool", True, column_part(4, [("TRUE", [1]), ("FALS", [])], 10, 1, 1, [1], 1)
    yield "bools with a min", False, column_part(4, [("TRUE", [1]), ("FALS", [])], 10, 1, 1, [1], 1, low=pack("<q", 1))
    thirds, low = list(range(0, 150000, 3)), list(range(65536))
    both = sorted({*thirds, *low})
    yield "large bitmaps", True, column_part(4, [("TRUE", thirds), ("FALS", low)], 150001, 115536, 2, both, len(both))


def patch_part(rows, row_of, seqnos, exact_for, least=None):
    data, index, count, total = payload_sections([[EMPTY] * len(row_of)] if row_of else [])
    least = min(seqnos, default=0) if least is None else least
    meta = pack("<IIIIQQQQ16x", rows, count, int(count > 0), 0, total, exact_for, least, max(seqnos, default=0))
    return part("patch", [("DATA", data), ("INDX", index), ("ROWS", pack(f"<{count}I", *row_of)),
                          ("SEQN", pack(f"<{count}Q", *seqnos)), ("META", meta)])


def patch_cases():
    yield "two", True, patch_part(5, [1, 4], [7, 6], 7)
    yield "none", True, patch_part(5, [], [], 3)
    yield "newer than exact_for", False, patch_part(5, [1, 4], [7, 6], 6)
    yield "a row out of range", False, patch_part(5, [5], [1], 2)
    yield "rows descending", False, patch_part(5, [2, 1], [1, 1], 2)
    yield "a wrong least seqno", False, patch_part(5, [1, 4], [7, 6], 7, least=5)


def codes_part(rows, dim=3, bits=4, measure=1, block=None, codes=None, centre=None, zero=0):
    padded = -(-dim // 64) * 64
    row = bytes(padded * bits // 8) + pack("<4f", 1, -0.5, 0.25, 1) if bits > 1 else b""
    inf, empty = pack("<f", float("inf")), pack("<f", 0)
    last = [bytes(4 * padded) + pack("<f", 1) * used + inf * (32 - used)
            + 2 * (pack("<f", 0.5) * used + empty * (32 - used))
            for used in [min(32, rows - first) for first in range(0, rows, 32)]]
    return part("codes", [("CODE", row * rows if codes is None else codes),
                          ("BLKS", b"".join(last) if block is None else block),
                          ("CENT", bytes(4 * padded) if centre is None else centre),
                          ("META", pack("<IIIIQ", rows, dim, bits, measure, 7) + bytes(39) + bytes([zero]))])


def codes_cases():
    yield "none", True, codes_part(0)
    yield "two", True, codes_part(2)
    yield "a full block", True, codes_part(32)
    yield "two blocks of 8 bits", True, codes_part(33, dim=65, bits=8, measure=2)
    yield "no dimension", False, codes_part(0, dim=0, centre=b"")
    yield "blocks only", True, codes_part(33, bits=1)
    yield "2 bits", True, codes_part(2, bits=2)
    yield "3 bits", False, codes_part(2, bits=3)
    yield "rows of one bit", False, codes_part(2, bits=1, codes=bytes(24 * 2))
    yield "measure 3", False, codes_part(2, measure=3)
    yield "a row too few", False, codes_part(2, codes=bytes(48))
    yield "no block", False, codes_part(2, block=b"")
    yield "a short centre", False, codes_part(2, centre=bytes(252))
    yield "not zero", False, codes_part(2, zero=1)
    absent = pack("<32f", *[float("inf")] * 32) + bytes(256)
    yield "a code past the last row", False, codes_part(2, block=bytes([0, 0, 1]) + bytes(253) + absent)
    yield "a factor past the last row", False, codes_part(2, block=bytes(256 + 384))


def product_part(rows, dim=5, width=2, count=3, codes=None, book=None, present=None, ones=None, zero=0, tail=0):
    row = bytes([(count - 1) % 256]) * -(-dim // max(width, 1))
    bits = list(range(rows)) if present is None else present
    codes = b"".join(row if n in bits else bytes(len(row)) for n in range(rows)) if codes is None else codes
    return part("product", [("CODE", codes),
                            ("BOOK", pack("<f", 0.5) * (dim * count) if book is None else book),
                            ("PRES", bitmap(rows, bits)),
                            ("META", pack("<IIIIIIQ", rows, dim, width, count, len(bits) if ones is None else ones, zero, 7)
                             + bytes(31) + bytes([tail]))])


def product_cases():
    yield "none", True, product_part(0)
    yield "two", True, product_part(2)
    yield "one absent", True, product_part(3, present=[0, 2])
    yield "256 centroids", True, product_part(2, count=256)
    yield "a sub-space wider than the vector", True, product_part(2, width=65536)
    yield "no dimension", False, product_part(0, dim=0)
    yield "no width", False, product_part(0, width=0)
    yield "a width too large", False, product_part(2, width=65537)
    yield "no centroids", False, product_part(0, count=0)
    yield "257 centroids", False, product_part(0, count=257)
    yield "a row too few", False, product_part(2, codes=bytes(3))
    yield "a short codebook", False, product_part(2, book=bytes(56))
    yield "a code without a centroid", False, product_part(2, codes=bytes([0, 0, 0, 0, 3, 0]))
    yield "codes of an absent row", False, product_part(2, codes=bytes([0, 0, 0, 0, 1, 0]), present=[0])
    yield "a wrong number of present rows", False, product_part(2, ones=1)
    yield "not zero", False, product_part(2, zero=1)
    yield "not zero at the end", False, product_part(2, tail=1)


def statistics_part(rows=5, firsts=(0, 2, 5), fields=None, paths=b"ab", flags=1, zero=0, numeric=1, filt=None, **change):
    """Field `a` has texts in zone 0; `b` whole numbers in both."""
    record = {"a0": (0x80, 2, 0, 2), "a1": (0, 0, 0, 0), "b0": (8, 1, 0, 1), "b1": (9, 2, 1, 65535)} | change
    ends = record.pop("ends", [(1.0, 1.0), (-4.0, 9.0)])
    record = {name: pack("<4H", *counts) for name, counts in record.items()}
    fields = fields or [(1, 0x80, 2, 0, 0, 2, 6, 0.0, 0.0), (2, 9, 3, 1, 4, 4, 0, -4.0, 9.0)]
    entry = [pack("<IHHIIQQQdd", f[0], f[1], 0, *f[2:]) + bytes(8) for f in fields]
    return part("statistics", [("FILT", bytes(8) if filt is None else filt),
                               ("RECS", record["a0"] + record["a1"] + record["b0"] + record["b1"]),
                               ("NUMS", b"".join(pack("<dd", *pair) for pair in ends)),
                               ("ZONE", b"".join(pack("<I", n) for n in firsts)),
                               ("PATH", paths), ("FLDS", b"".join(entry)),
                               ("META", pack("<IIIIIIQ", rows, len(firsts) - 1, len(fields), numeric, flags, zero, 7)
                                + bytes(32))])


def statistics_cases():
    a, b = (1, 0x80, 2, 0, 0, 2, 6, 0.0, 0.0), (2, 9, 3, 1, 4, 4, 0, -4.0, 9.0)
    yield "two fields", True, statistics_part()
    yield "not complete", True, statistics_part(flags=0)
    yield "an unknown flag", False, statistics_part(flags=2)
    yield "not zero", False, statistics_part(zero=1)
    yield "a zone of no rows", False, statistics_part(firsts=(0, 0, 5))
    yield "zones that end too soon", False, statistics_part(firsts=(0, 2, 4))
    yield "a zone too long", False, statistics_part(rows=70000, firsts=(0, 2, 70000))
    yield "a long zone", True, statistics_part(rows=65537, firsts=(0, 2, 65537))
    yield "paths out of order", False, statistics_part(paths=b"ba")
    yield "equal paths", False, statistics_part(paths=b"aa")
    yield "a path that is not UTF-8", False, statistics_part(paths=b"a\xff")
    yield "a path left over", False, statistics_part(paths=b"abc")
    yield "an empty path", False, statistics_part(fields=[(0, *a[1:]), b])
    yield "an unknown kind", False, statistics_part(a1=(1 << 11, 0, 0, 0))
    yield "more rows than the zone", False, statistics_part(b0=(8, 3, 0, 1), fields=[a, (2, 9, 5, *b[3:])])
    yield "too many different values", False, statistics_part(b1=(9, 2, 1, 4097))
    yield "a filter too short", False, statistics_part(filt=bytes(4))
    yield "a filter too long", False, statistics_part(filt=bytes(12))
    yield "filters with a gap", False, statistics_part(fields=[a, (*b[:4], 8, *b[5:])])
    yield "kinds of no zone", False, statistics_part(fields=[(1, 0x82, *a[2:]), b])
    yield "another sum", False, statistics_part(fields=[(1, 0x80, 1, *a[3:]), b])
    yield "extremes of no zone", False, statistics_part(fields=[a, (*b[:8], 10.0)])
    yield "extremes the wrong way", False, statistics_part(ends=[(1.0, 1.0), (9.0, -4.0)])
    yield "extremes of NaN", False, statistics_part(ends=[(1.0, 1.0), (-4.0, float("nan"))])
    yield "extremes of -0", False, statistics_part(ends=[(1.0, 1.0), (-4.0, -0.0)], fields=[a, (*b[:8], 1.0)])
    yield "extremes without numbers", False, statistics_part(b0=(0, 1, 0, 1), fields=[a, b])
    yield "a table too many", False, statistics_part(numeric=2)


def all_cases():
    yield from wal_cases()
    yield from envelope_cases()
    yield from container_cases()
    yield from ((f"frame: {name}", False, data) for name, data in frame_cases())
    kinds = {"rows": rows_cases, "vectors": vectors_cases, "graph": graph_cases, "payload": payload_cases,
             "column": column_cases, "patch": patch_cases, "codes": codes_cases, "product": product_cases,
             "statistics": statistics_cases}
    for kind, cases in kinds.items():
        yield from ((f"{kind}: {name}", valid, data) for name, valid, data in cases())


def place_of(name):
    """The path that the identity of a crafted file asks for."""
    kind = name.split(":")[0]
    shards = f"collections/{cairn_read.uuid_text(COLLECTION)}/shards"
    if kind in ("wal", "ops", "value"):
        return f"{shards}/3/wal/000012.wal"
    if kind in ("catalog", "manifest"):
        return "catalog/000007.manifest" if kind == "catalog" else f"{shards}/0/manifest/000007.manifest"
    return f"{shards}/3/parts/{42:016x}.{'sparse' if kind == 'frame' else kind}"


def main():
    parser = argparse.ArgumentParser(description="Reads files that keep or break one rule each.")
    parser.add_argument("--cairn", help="the program, to be held against the same files")
    options = parser.parse_args()
    readers = {"cairn_read.py": cairn_read.read_file}
    if options.cairn:
        readers["inspect"] = lambda path: json.loads(
            subprocess.run([options.cairn, "inspect", path, "--json"], capture_output=True, check=False).stdout)
    wrong, count = dict.fromkeys(readers, 0), 0
    with tempfile.TemporaryDirectory() as folder:
        for name, expected, data in all_cases():
            count += 1
            path = os.path.join(folder, place_of(name))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(data)
            for reader, read in readers.items():
                found = read(path)
                outcome = found.get("end", {}).get("outcome") if isinstance(expected, str) else None
                if found["valid"] != bool(expected) or outcome not in (None, expected):
                    wrong[reader] += 1
                    print(f"{reader}: {name}: {found['valid']} {outcome or ''} {found.get('error', '')}, not {expected}")
    print(f"{count} crafted files; " + ", ".join(f"{reader} is wrong about {n}" for reader, n in wrong.items()))
    return 1 if any(wrong.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
