#!/usr/bin/env python3
"""An independent reader for the files of Cairn, written from the chapters in `../docs` alone.

    cairn_read.py FILE|DIR... [--json] [--contents]

It shares no code with the program: what it reads and refuses is what the chapters say. It recognises a file by its
name and its magic, verifies all that a reader MUST check ("complete verification" for parts), and prints what it
found; with `--contents` every record, row and value too. A part inside a data directory is held against the manifests
of its shard; a file that stands alone is held against its own header. For directories the shards are checked as
well: that the parts of the manifest are there and agree with it, and that the WAL files form a chain.

The exit code is 1 if anything is invalid. A WAL file with a torn tail is valid (chapter 3). A foreign file is reported
and not judged. Needs Python 3.9 and the package `zstandard`.
"""
import argparse
import bisect
import hashlib
import itertools
import json
import math
import os
import re
import struct
import sys
import uuid
import zlib

import zstandard

U32_MAX, U64_MAX = 0xFFFF_FFFF, 0xFFFF_FFFF_FFFF_FFFF


class Invalid(Exception):
    """A file breaks a MUST of a chapter: where, which field, and how."""

    def __init__(self, at, field, why):
        super().__init__(f"{field} at byte {at}: {why}")
        self.at, self.field, self.why = at, field, why


def check(ok, at, field, why):
    if not ok:
        raise Invalid(at, field, why)


# ---------------------------------------------------------------- chapter 0: what all chapters share

METRICS = {1: "cosine", 2: "dot", 3: "euclid", 4: "manhattan"}
ELEMENTS = {1: "f32", 2: "f16", 3: "u8"}
CODECS = dict(enumerate("auto bits1 bits2 bits4 bits8 product4 product8 product16 product32 product64".split(), 1))
ELEMENT_WIDTH = {"f32": 4, "f16": 2, "u8": 1}
FIELD_TYPES = {1: "keyword", 2: "integer", 3: "float", 4: "bool", 5: "datetime", 6: "uuid", 7: "geo", 8: "text"}


def up(number, multiple):
    return -(-number // multiple) * multiple


def is_zero(data, first, last):
    return data.count(0, first, last) == last - first


def check_zero(data, first, last, field):
    check(is_zero(data, first, last), first, field, "not zero")


def crc32(seed, data):
    return zlib.crc32(data, seed)


def place_seed(*words):
    return crc32(0, struct.pack(f"<{len(words)}Q", *words))


def check_version(found, at, field):
    check(found == 1, at, field, f"version {found}, this reader knows 1")


def check_features(required, at):
    check(required == 0, at, "features required", f"unknown bits {required:#x}")


def one_of(table, tag, at, field):
    check(tag in table, at, field, f"unknown tag {tag}")
    return table[tag]


def uuid_text(raw):
    return str(uuid.UUID(bytes=bytes(raw)))


def utf8(raw, at, field):
    try:
        return bytes(raw).decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid(at, field, "not UTF-8") from None


def varint(data, at, end, field, bits=64, shortest=True):
    """The number, and the offset after it."""
    number, start = 0, at
    while True:
        check(at < end, start, field, "truncated")
        byte = data[at]
        number |= (byte & 0x7F) << (7 * (at - start))
        at += 1
        if byte < 0x80:
            break
        check(at - start < -(-bits // 7), start, field, "varint too long")
    check(number < 1 << bits, start, field, f"does not fit in {bits} bits")
    check(not shortest or at - start == 1 or byte != 0, start, field, "varint is not the shortest")
    return number, at


class Postcard:
    """A cursor over a postcard body in data[at..end]."""

    def __init__(self, data, at, end):
        self.data, self.at, self.end = data, at, end

    def take(self, length, field):
        check(length <= self.end - self.at, self.at, field, "truncated")
        self.at += length
        return bytes(self.data[self.at - length : self.at])

    def u8(self, field):
        return self.take(1, field)[0]

    def number(self, bits, field):
        value, self.at = varint(self.data, self.at, self.end, field, bits, shortest=False)
        return value

    def u32(self, field):
        return self.number(32, field)

    def u64(self, field):
        return self.number(64, field)

    def bool(self, field):
        byte = self.u8(field)
        check(byte < 2, self.at - 1, field, f"{byte} is not a bool")
        return byte == 1

    def f64(self, field):
        return struct.unpack("<d", self.take(8, field))[0]

    def bytes(self, field):
        return self.take(self.u64(field), field)

    def text(self, field):
        raw = self.bytes(field)
        return utf8(raw, self.at - len(raw), field)

    def tag(self, table, field):
        return one_of(table, self.u8(field), self.at - 1, field)

    def option(self, read, field):
        return read() if self.bool(field) else None

    def list(self, read, field):
        return [read() for _ in range(self.u64(field))]

    def finish(self):
        check(self.at == self.end, self.at, "body", f"{self.end - self.at} trailing bytes")


def unique(items, at, field):
    check(len(set(items)) == len(items), at, field, "stands twice")


def rotl(word, by):
    return (word << by | word >> (64 - by)) & U64_MAX


def placement_hash(raw):
    """SipHash-2-4 with a zero key, of 8 or 16 bytes."""
    v = [0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573]

    def rounds(count):
        for _ in range(count):
            v[0], v[2] = v[0] + v[1] & U64_MAX, v[2] + v[3] & U64_MAX
            v[1], v[3] = rotl(v[1], 13) ^ v[0], rotl(v[3], 16) ^ v[2]
            v[0] = rotl(v[0], 32)
            v[0], v[2] = v[0] + v[3] & U64_MAX, v[2] + v[1] & U64_MAX
            v[3], v[1] = rotl(v[3], 21) ^ v[0], rotl(v[1], 17) ^ v[2]
            v[2] = rotl(v[2], 32)

    for (word,) in struct.iter_unpack("<Q", raw + struct.pack("<Q", len(raw) << 56)):
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


# ---------------------------------------------------------------- chapter on values

EMPTY_PAYLOAD = bytes.fromhex("0c0100000000")
WHOLE = {4: "<b", 5: "<h", 6: "<i", 7: "<q", 8: "<Q"}


def read_value(data, at, end, depth=0):
    """One value at `at` (it may end before `end`), and the offset after it."""
    check(at < end, at, "value tag", "truncated")
    tag, start, at = data[at], at, at + 1
    if tag in (1, 2, 3):
        return {1: None, 2: False, 3: True}[tag], at
    if tag in WHOLE:
        size = struct.calcsize(WHOLE[tag])
        check(at + size <= end, at, "whole number", "truncated")
        number = struct.unpack_from(WHOLE[tag], data, at)[0]
        check(tag == whole_tag(number), start, "whole number", f"tag {tag} is not the first that holds it")
        return number, at + size
    if tag == 9:
        check(at + 8 <= end, at, "number", "truncated")
        return struct.unpack_from("<d", data, at)[0], at + 8
    if tag == 10:
        return read_text(data, at, end, "text")
    check(tag in (11, 12), start, "value tag", f"unknown tag {tag}")
    check(depth < 128, start, "value", "nested deeper than 128")
    check(at + 4 <= end, at, "length", "truncated")
    length = struct.unpack_from("<I", data, at)[0]
    stop = at + 4 + length
    check(stop <= end, at, "length", "truncated")
    count, at = varint(data, at + 4, stop, "count", 32)
    items, keyed = [], {}
    for _ in range(count):
        if tag == 12:
            key, at = read_text(data, at, stop, "key")
        item, at = read_value(data, at, stop, depth + 1)
        if tag == 12:
            keyed.setdefault(key, item)
        else:
            items.append(item)
    check(at == stop, at, "items", "do not fill the length")
    return (keyed if tag == 12 else items), at


def whole_tag(number):
    for tag, bits in ((4, 7), (5, 15), (6, 31), (7, 63)):
        if -(1 << bits) <= number < 1 << bits:
            return tag
    return 8


def read_text(data, at, end, field):
    length, at = varint(data, at, end, field, 32)
    check(at + length <= end, at, field, "truncated")
    return utf8(data[at : at + length], at, field), at + length


def read_payload(data, first, last):
    """Exactly one value, an object."""
    check(first < last and data[first] == 12, first, "payload", "not an object")
    value, at = read_value(data, first, last)
    check(at == last, at, "payload", f"{last - at} trailing bytes")
    return value


def read_payloads(raw, ends, base):
    """The payloads between these ends of `raw`; offsets in errors count from `base`."""
    try:
        return [read_payload(raw, first, last) for first, last in zip(ends, ends[1:])]
    except Invalid as error:
        raise Invalid(base + error.at, error.field, error.why) from None


# ---------------------------------------------------------------- chapter 1: names of files and folders

PART_KINDS = {1: "vectors", 2: "codes", 3: "graph", 4: "sparse", 5: "rows", 6: "payload", 7: "column",
              8: "tombstones", 9: "patch", 10: "product", 11: "statistics"}
KIND_TAGS = {name: tag for tag, name in PART_KINDS.items()}
DERIVED = ("codes", "graph", "column", "product", "statistics")
NUMBER = r"(?!0+\.)(\d{6}|[1-9]\d{6,19})"
SHARD_PATH = re.compile(r"(?:^|/)collections/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/shards/(0|[1-9]\d{0,9})/"
                        r"(wal|manifest|parts)/([^/]+)$")
CATALOG_PATH = re.compile(r"(?:^|/)catalog/([^/]+)$")


def identity_of_path(path):
    """What the path says a file is: a dict, None if the path says nothing, or 'foreign'."""
    path = os.path.abspath(path).replace(os.sep, "/")
    match = SHARD_PATH.search(path)
    if match and int(match[2]) <= U32_MAX:
        place = {"collection": match[1], "shard": int(match[2])}
        if match[3] == "parts":
            part = re.fullmatch(r"([0-9a-f]{16})\.(\w+)", match[4])
            if not part or part[2] not in KIND_TAGS or int(part[1], 16) == 0:
                return "foreign"
            return {"kind": part[2], "part_id": int(part[1], 16), **place}
        extension, kind = (".wal", "wal") if match[3] == "wal" else (".manifest", "manifest")
    else:
        match = CATALOG_PATH.search(path)
        if not match:
            return None
        place, extension, kind = {"collection": str(uuid.UUID(int=0)), "shard": 0}, ".manifest", "catalog"
    number = re.fullmatch(NUMBER + re.escape(extension), match[match.lastindex])
    if not number or int(number[1]) > U64_MAX:
        return "foreign"
    return {"kind": kind, "number": int(number[1]), **place}


# ---------------------------------------------------------------- chapter 2: the part container

HEADER, TABLES, FOOTER = U64_MAX, U64_MAX - 1, U64_MAX - 2
BLOCK = 16384
SHARED_BLOCK_MAX = 16384


class Part:
    """A part file whose frame, blocks and padding were verified."""

    def __init__(self, data, expect=None):
        expect = expect or {}
        self.data = data
        check(len(data) >= 4096 + 64, 0, "file length", f"{len(data)} is too short")
        check(len(data) == expect.get("len", len(data)), 0, "file length", "differs from the manifest")
        self.read_header(expect)
        self.read_footer()
        self.read_tables()
        self.verify()

    def crc(self, unit, first, last):
        place = struct.pack("<16sIIQQ", self.collection, self.shard, self.kind_tag, self.part_id, unit)
        return crc32(crc32(0, place), self.data[first:last])

    def read_header(self, expect):
        (magic, container, kind, version, block_len, required, self.features_optional, self.part_id, self.collection,
         self.shard, flags, source, zero, self.header_crc) = struct.unpack_from("<8s4I3Q16sII32s20sI", self.data)
        check(magic == b"CAIRNPRT", 0, "magic", "wrong magic")
        check_version(container, 8, "container_version")
        self.kind_tag = KIND_TAGS.get(expect.get("kind"), kind)
        found = (kind, self.part_id, self.collection, self.shard)
        self.part_id = expect.get("part_id", self.part_id)
        self.shard = expect.get("shard", self.shard)
        if "collection" in expect:
            self.collection = uuid.UUID(expect["collection"]).bytes
        check(self.crc(HEADER, 0, 124) == self.header_crc, 124, "header_crc", "wrong checksum")
        check(found == (self.kind_tag, self.part_id, self.collection, self.shard), 0, "header", "wrong identity")
        self.kind = one_of(PART_KINDS, kind, 12, "kind")
        self.version = version
        check(version == 1 or version > 1 and self.kind not in PART_READERS, 16, "format_version", f"{version}")
        check(block_len == BLOCK, 20, "block_len", f"{block_len}")
        check_features(required, 24)
        check(self.part_id != 0, 40, "part_id", "0 is not a part id")
        check(flags < 2, 68, "flags", f"unknown bits {flags:#x}")
        check(flags == 1 or source == bytes(32), 72, "source_hash", "not zero")
        check(flags == (self.kind in DERIVED), 68, "flags", "source_hash of the wrong kind of part")
        check(zero == bytes(20), 104, "zero", "not zero")
        self.source_hash = source.hex() if flags else None

    def read_footer(self):
        at = len(self.data) - 64
        (self.body_len, file_len, self.block_count, self.section_count, part_id, kind, container, header_crc,
         self.tables_crc, zero, crc, magic) = struct.unpack_from("<QQIIQ6I8s", self.data, at)
        check(magic == b"CAIRNEND", at + 56, "end magic", "wrong magic")
        check(self.crc(FOOTER, at, at + 52) == crc, at + 52, "footer_crc", "wrong checksum")
        check(file_len == len(self.data), at + 8, "file_len", f"{file_len}")
        check(self.section_count <= 256, at + 20, "section_count", f"{self.section_count}")
        check((part_id, kind, container, header_crc) == (self.part_id, self.kind_tag, 1, self.header_crc), at + 24,
              "footer", "differs from the header")
        check(zero == 0, at + 48, "zero", "not zero")
        check(self.body_len >= 4096 and self.body_len % 4096 == 0, at, "body_len", f"{self.body_len}")
        check(self.block_count == -(-self.body_len // BLOCK), at + 16, "block_count", f"{self.block_count}")
        self.tables_len = up(4 * self.block_count, 8) + 24 * self.section_count
        check(file_len == self.body_len + self.tables_len + 64, at + 8, "file_len", "differs from its sum")

    def read_tables(self):
        at = self.body_len
        check(self.crc(TABLES, at, at + self.tables_len) == self.tables_crc, at, "tables_crc", "wrong checksum")
        self.block_crcs = struct.unpack_from(f"<{self.block_count}I", self.data, at)
        at += 4 * self.block_count
        check_zero(self.data, at, up(at, 8), "padding of the block table")
        at = up(at, 8)
        self.sections, end = {}, 4096
        for n in range(self.section_count):
            tag, zero, offset, length = struct.unpack_from("<4sIQQ", self.data, at + 24 * n)
            check(zero == 0, at + 24 * n + 4, "section zero", "not zero")
            check(tag not in self.sections, at + 24 * n, "section tag", "stands twice")
            check(offset == up(end, 4096), at + 24 * n + 8, "section offset", f"{offset}")
            end = offset + length
            check(end <= self.body_len, at + 24 * n + 16, "section length", f"{length}")
            self.sections[tag] = (offset, length)
        check(up(end, 4096) == self.body_len, len(self.data) - 64, "body_len", "is not the end of the sections")

    def verify(self):
        for n, stored in enumerate(self.block_crcs):
            first, last = n * BLOCK, min((n + 1) * BLOCK, self.body_len)
            check(self.crc(n, first, last) == stored, first, f"block {n}", "wrong checksum")
        end = 128
        for offset, length in [*self.sections.values(), (self.body_len, 0)]:
            check_zero(self.data, end, offset, "padding")
            end = offset + length

    def demand(self, tags):
        """All sections of a chapter, in whatever order; others may stand among them."""
        for tag in tags.split():
            check(tag.encode() in self.sections, self.body_len, "sections", f"no {tag}")

    def at(self, tag):
        return self.sections[tag.encode()][0]

    def raw(self, tag, length=None):
        offset, found = self.sections[tag.encode()]
        check(length in (None, found), offset, f"length of {tag}", f"{found} instead of {length}")
        return self.data[offset : offset + found]

    def array(self, tag, code, count):
        raw = self.raw(tag, struct.calcsize("<" + code) * count)
        return list(struct.unpack(f"<{count}{code}", raw))

    def meta(self, layout):
        """The fields of META; the bytes after them are zero."""
        size = struct.calcsize("<" + layout)
        raw = self.raw("META", 96 if self.kind == "column" else 64)
        check_zero(raw, size, len(raw), "META zero")
        return struct.unpack_from("<" + layout, raw)


def ascending(items, at, field):
    check(all(a < b for a, b in zip(items, items[1:])), at, field, "not strictly ascending")


# ---------------------------------------------------------------- chapter 2b: bitmaps


def read_bitmap(data, rows, at, field):
    """The rows of a bitmap that is all of `data` and covers `rows` rows."""
    chunks = -(-rows // 65536)
    check(len(data) >= 8 + 8 * chunks, at, field, "truncated")
    length, ones = struct.unpack_from("<II", data)
    check(length == rows, at, field, f"covers {length} rows instead of {rows}")
    found, end = [], 1 + chunks
    for k in range(chunks):
        count, offset = struct.unpack_from("<II", data, 8 + 8 * k)
        first, n = 65536 * k, min(65536, rows - 65536 * k)
        check(offset == end, at + 12 + 8 * k, field, f"offset {offset} instead of {end}")
        check(count <= n, at + 8 + 8 * k, field, f"count {count} of {n} rows")
        if count in (0, n):
            found.extend(range(first, first + count))
            continue
        is_list = -(-count // 4) < -(-n // 64)
        end += -(-count // 4) if is_list else -(-n // 64)
        check(8 * end <= len(data), at + 8 * offset, field, "truncated")
        body = data[8 * offset : 8 * end]
        if is_list:
            rows_here = list(struct.unpack_from(f"<{count}H", body))
            ascending(rows_here, at + 8 * offset, field)
            check(rows_here[-1] < n, at + 8 * offset, field, "a row out of range")
            check_zero(body, 2 * count, len(body), field)
        else:
            rows_here = bits_of(body)
            check(rows_here[-1:] < [n], at + 8 * offset, field, "a row out of range")
        check(len(rows_here) == count, at + 8 * offset, field, "count differs from the body")
        found.extend(first + row for row in rows_here)
    check(len(found) == ones, at + 4, field, f"{len(found)} rows instead of {ones}")
    check(8 * end == len(data), at, field, f"{len(data)} bytes instead of {8 * end}")
    return found


def bits_of(raw):
    return [8 * n + b for n, byte in enumerate(raw) if byte for b in range(8) if byte >> b & 1]


# ---------------------------------------------------------------- chapter 6: rows

SALT = [int(word, 16) for word in "47b6137b 44974d91 8824ad5b a2b7289d 705495c7 2df1424b 9efc4947 5c6bfb31".split()]


def filter_of(ids, blocks):
    """The membership filter of these ids (each its 8 or 16 hashed bytes)."""
    words = [0] * (8 * blocks)
    for raw in ids:
        h = placement_hash(raw)
        for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
            h = (h ^ h >> 33) * factor & U64_MAX
        h ^= h >> 33
        block = (h >> 32) * blocks >> 32
        for i, salt in enumerate(SALT):
            words[8 * block + i] |= 1 << ((h & U32_MAX) * salt % (1 << 32) >> 27)
    return words


def read_rows(part):
    part.demand("META NUMS UUID RANK ROWS SEQN FILT")
    rows, numbers, flags, filter_blocks, seqno_min, seqno_max = part.meta("IIIIQQ")
    at = part.at("META")
    check(numbers <= rows, at + 4, "numbers", f"{numbers} of {rows} rows")
    check(flags < 2, at + 8, "flags", f"unknown bits {flags:#x}")
    check(filter_blocks == max(1, -(-rows * 10 // 256)), at + 12, "filter_blocks", f"{filter_blocks}")
    ids = part.array("NUMS", "Q", numbers)
    ascending(ids, part.at("NUMS"), "NUMS")
    raw = part.raw("UUID", 16 * (rows - numbers))
    uuids = [raw[i : i + 16] for i in range(0, len(raw), 16)]
    ascending(uuids, part.at("UUID"), "UUID")
    filt = part.array("FILT", "I", 8 * filter_blocks)
    check(filt == filter_of([struct.pack("<Q", n) for n in ids] + uuids, filter_blocks), part.at("FILT"), "FILT",
          "is not the filter of the ids")
    ids += [uuid_text(raw) for raw in uuids]
    rank, by_rank = (part.array(tag, "I", 0 if flags else rows) for tag in ("RANK", "ROWS"))
    check(not any(r >= rows for r in rank + by_rank), part.at("RANK"), "RANK", "out of range")
    check(all(by_rank[k] == row for row, k in enumerate(rank)), part.at("RANK"), "RANK", "ROWS is not its inverse")
    check(flags or rank != list(range(rows)), at + 8, "flags", "rows are in id order, the bit is clear")
    seqnos = part.array("SEQN", "Q", rows)
    check((seqno_min, seqno_max) == (min(seqnos, default=0), max(seqnos, default=0)), at + 16, "seqno_min, seqno_max",
          "not those of SEQN")
    listed = [{"id": ids[k], "seqno": s} for k, s in zip(rank or range(rows), seqnos)]
    return {"count": rows, "numbers": numbers, "seqno_min": seqno_min, "seqno_max": seqno_max}, {"rows": listed}


# ---------------------------------------------------------------- chapter 7: vectors


def read_vectors(part):
    part.demand("DATA PRES META")
    rows, dim, element, metric, stride, present = part.meta("IIIIQI")
    at = part.at("META")
    check(1 <= dim <= 65536, at + 4, "dim", f"{dim}")
    element = one_of(ELEMENTS, element, at + 8, "element")
    metric = one_of(METRICS, metric, at + 12, "metric")
    check(stride == dim * ELEMENT_WIDTH[element], at + 16, "stride", f"{stride}")
    data = part.raw("DATA", rows * stride)
    with_vector = set(read_bitmap(part.raw("PRES"), rows, part.at("PRES"), "PRES"))
    check(len(with_vector) == present, at + 24, "present", f"{present} instead of {len(with_vector)}")
    code = {"f32": "f", "f16": "e", "u8": "B"}[element]
    vectors = []
    for row in range(rows):
        if row in with_vector:
            vectors.append(list(struct.unpack_from(f"<{dim}{code}", data, row * stride)))
        else:
            check(is_zero(data, row * stride, (row + 1) * stride), 4096 + row * stride, "absent row", "not zero")
            vectors.append(None)
    about = {"count": rows, "present": present, "dim": dim, "element": element, "metric": metric, "stride": stride}
    return about, {"vectors": vectors}


# ---------------------------------------------------------------- chapter 8: graph


def read_graph(part):
    part.demand("BASE LEVL UROW ULST UOFF UNBR META")
    (rows, nodes, m, m0, ef_construct, entry, max_level, upper, lists, neighbours, seed) = part.meta("10IQ")
    at = part.at("META")
    check(1 <= m <= 1024, at + 8, "m", f"{m}")
    check(1 <= m0 <= 2048, at + 12, "m0", f"{m0}")
    base = part.raw("BASE", 4 * rows * (1 + m0))
    levels = part.raw("LEVL", rows)
    levels = [None if level == 255 else level for level in levels]
    check(nodes == rows - levels.count(None), at + 4, "nodes", f"{nodes}")
    if nodes == 0:
        check((entry, max_level) == (U32_MAX, 0), at + 20, "entry", "there is no node")
    else:
        check(entry < rows and levels[entry] is not None, at + 20, "entry", f"{entry} is not a node")
        check(max_level == levels[entry] == max(lv for lv in levels if lv is not None), at + 24, "max_level",
              f"{max_level}")
    upper_rows = [row for row, level in enumerate(levels) if level]
    check(part.array("UROW", "I", upper) == upper_rows, part.at("UROW"), "UROW", "not the rows of level 1 and more")
    first_list = [0]
    for row in upper_rows:
        first_list.append(first_list[-1] + levels[row])
    check(part.array("ULST", "I", upper + 1) == first_list, part.at("ULST"), "ULST", "not by the levels")
    check(first_list[-1] == lists, at + 32, "lists", f"{lists}")
    offsets = part.array("UOFF", "I", lists + 1)
    check(offsets[0] == 0 and offsets[-1] == neighbours and offsets == sorted(offsets), part.at("UOFF"), "UOFF",
          "does not ascend from 0 to the number of neighbours")
    found = part.array("UNBR", "I", neighbours)

    def verify_list(items, layer, where):
        for n in items:
            check(n < rows and levels[n] is not None and levels[n] >= layer, where, "neighbour",
                  f"{n} is not in layer {layer}")

    listed = []
    for row in range(rows):
        where = part.at("BASE") + 4 * row * (1 + m0)
        count, *slots = struct.unpack_from(f"<{1 + m0}I", base, 4 * row * (1 + m0))
        check(count <= (m0 if levels[row] is not None else 0), where, "BASE", f"{count} neighbours")
        check(not any(slots[count:]), where, "BASE", "an unused slot is not zero")
        verify_list(slots[:count], 0, where)
        listed.append(None if levels[row] is None else {"level": levels[row], "neighbours": [slots[:count]]})
    for row, first in zip(upper_rows, first_list):
        for layer in range(1, levels[row] + 1):
            j = first + layer - 1
            items = found[offsets[j] : offsets[j + 1]]
            check(len(items) <= m, part.at("UOFF") + 4 * j, "UOFF", f"{len(items)} neighbours")
            verify_list(items, layer, part.at("UNBR") + 4 * offsets[j])
            listed[row]["neighbours"].append(items)
    about = {"count": rows, "nodes": nodes, "m": m, "m0": m0, "ef_construct": ef_construct, "seed": seed,
             "entry": entry if nodes else None, "max_level": max_level}
    return about, {"rows": listed}


# ---------------------------------------------------------------- chapter 9: payloads


def read_payload_blocks(part, rows, blocks, raw_bytes):
    """The payloads of DATA and INDX, which payload and patch parts share."""
    data, at = part.raw("DATA"), part.at("INDX")
    index = list(struct.iter_unpack("<QII", part.raw("INDX", 16 * (blocks + 1))))
    check(index[0][:2] == (0, 0), at, "INDX", "the first entry does not begin at 0")
    check(index[-1] == (len(data), rows, 0), at + 16 * blocks, "INDX", "the last entry is not the end")
    check(sum(entry[2] for entry in index) == raw_bytes, at, "INDX", "raw lengths do not add up to raw_bytes")
    payloads, room = [], None
    for i in range(blocks):
        (offset, first, raw_len), (end, last, _) = index[i], index[i + 1]
        check(offset < end and first < last, at + 16 * i, "INDX", "not strictly ascending")
        check(4 * (last - first) <= raw_len <= 1 << 28, at + 16 * i, "raw_len", f"{raw_len}")
        check(end - offset <= raw_len, at + 16 * i, "INDX", "a block is longer stored than raw")
        check(last - first == 1 or raw_len <= SHARED_BLOCK_MAX, at + 16 * i, "raw_len", f"{raw_len} of several rows")
    for i in range(blocks):
        (offset, first, raw_len), (end, last, _) = index[i], index[i + 1]
        where = part.at("DATA") + offset
        raw = data[offset:end] if end - offset == raw_len else decompress(data[offset:end], raw_len, where)
        ends = table_of_ends(raw, last - first, where)
        check(room is None or 4 + ends[1] - ends[0] > room, where, "payload blocks", "not packed greedily")
        room = SHARED_BLOCK_MAX - raw_len
        payloads.extend(read_payloads(raw, ends, where))  # the offset in an error is one in the raw block
    return payloads


def decompress(stored, raw_len, at):
    try:
        frame = zstandard.get_frame_parameters(stored)
        check(frame.dict_id == 0, at, "payload block", "needs a dictionary")
        check(frame.content_size in (raw_len, zstandard.CONTENTSIZE_UNKNOWN), at, "payload block", "wrong raw length")
        raw = zstandard.ZstdDecompressor().decompress(stored, max_output_size=raw_len, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Invalid(at, "payload block", str(error)) from None
    check(len(raw) == raw_len, at, "payload block", f"{len(raw)} bytes instead of {raw_len}")
    return raw


def table_of_ends(raw, count, at):
    """Where the payloads of a raw block begin and end."""
    ends = [4 * count + end for end in (0, *struct.unpack_from(f"<{count}I", raw))]
    check(ends == sorted(ends) and ends[-1] == len(raw), at, "table of ends", "does not fit the block")
    return ends


def read_payload_part(part):
    part.demand("DATA INDX META")
    rows, blocks, exact_for, raw_bytes = part.meta("IIQQ")
    payloads = read_payload_blocks(part, rows, blocks, raw_bytes)
    about = {"count": rows, "blocks": blocks, "exact_for": exact_for, "raw_bytes": raw_bytes}
    return about, {"payloads": payloads}


# ---------------------------------------------------------------- chapter 10: columns

COLUMN_SECTIONS = {"keyword": "POST POFF TEXT TOFF", "bool": "TRUE FALS", "text": "POST POFF TEXT TOFF MANY",
                   "phrases": "POST POFF TEXT TOFF POSN PNOF MANY"}
KEY_FORMS = {"integer": "<q", "float": "<d", "datetime": "<q", "uuid": "16s", "geo": "<2d"}


def read_column(part):
    part.demand("META")
    (tag, rows, exact_for, values, distinct, with_value, with_null, indexed, flags, low, high, settings) = \
        part.meta("IIQQQIIII8s8sQ")
    at = part.at("META")
    kind = one_of(FIELD_TYPES, tag, at, "type")
    check(flags <= (kind == "text"), at + 44, "flags", "unknown")
    part.demand(COLUMN_SECTIONS.get("phrases" if flags else kind, "KEYS ROWS") + " OPEN HASV HNUL META")
    has_value, has_null = (read_bitmap(part.raw(tag), rows, part.at(tag), tag) for tag in ("HASV", "HNUL"))
    read = {"keyword": read_keywords, "bool": read_bools, "text": read_keywords}.get(kind, read_numbers)
    postings, extremes = read(part, kind, rows, values, distinct)
    pairs = sum(len(rows) for _, rows in postings)
    found = (pairs, sum(1 for _, rows in postings if rows), len(has_value), len(has_null))
    check(found == (values, distinct, with_value, with_null), at + 16, "META", f"counts differ from the content {found}")
    check(extremes == (low, high), at + 48, "min, max", "not those of the content")
    in_column = {row for _, rows in postings for row in rows}
    check(len(in_column) == indexed, at + 40, "rows_indexed", f"{indexed} instead of {len(in_column)}")
    without = read_bitmap(part.raw("OPEN"), rows, part.at("OPEN"), "OPEN")
    check(set(has_value) == in_column | set(without) and not in_column & set(without), part.at("OPEN"), "OPEN",
          "not the rows in HASV without a pair")
    about = {"type": kind, "count": rows, "exact_for": exact_for, "values_count": values, "distinct": distinct,
             "rows_with_value": with_value, "rows_with_null": with_null, "rows_indexed": indexed, "settings": settings}
    listed = [{"value": value, "rows": rows} for value, rows in postings]
    if kind == "text":
        read_bitmap(part.raw("MANY"), rows, part.at("MANY"), "MANY")
    if flags:
        listed = [{"value": value, "rows": [{"row": row, "positions": where} for row, where in zip(rows, places)]}
                  for (value, rows), places in zip(postings, read_positions(part, postings))]
    if kind in KEY_FORMS:
        listed = [{"value": value, "row": row} for value, rows in postings for row in rows]
    return about, {"has_value": has_value, "has_null": has_null, "values": listed}


def offset_table(part, table, section, count):
    offsets, raw = part.array(table, "Q", count + 1), part.raw(section)
    check(offsets[0] == 0 and offsets[-1] == len(raw) and offsets == sorted(offsets), part.at(table), table,
          f"does not ascend from 0 to the length of {section}")
    return [raw[first:last] for first, last in zip(offsets, offsets[1:])]


def read_keywords(part, _kind, rows, _values, distinct):
    texts = offset_table(part, "TOFF", "TEXT", distinct)
    ascending(texts, part.at("TEXT"), "TEXT")
    words_len = 8 + 8 * -(-rows // 64)
    listed = []
    for text, raw in zip(texts, offset_table(part, "POFF", "POST", distinct)):
        if len(raw) == words_len:
            found, count = bits_of(raw[8:]), struct.unpack_from("<Q", raw)[0]
            gaps = [len(found), *found[:1], *(b - a for a, b in zip(found, found[1:]))]
            shorter = sum(-(-max(gap.bit_length(), 1) // 7) for gap in gaps) < words_len
            check(count == len(found) and not shorter, part.at("POST"), "POST", f"count {count}")
        else:
            check(0 < len(raw) < words_len, part.at("POST"), "POST", f"{len(raw)} bytes")
            gaps = varints(raw, part.at("POST"), "POST")
            check(len(gaps) > 1 and gaps[0] == len(gaps) - 1, part.at("POST"), "POST", f"count {gaps[0]}")
            found = list(itertools.accumulate(gaps[1:]))
            ascending(found, part.at("POST"), "POST")
        check(found[-1] < rows, part.at("POST"), "POST", "a row out of range")
        listed.append((utf8(text, part.at("TEXT"), "TEXT"), found))
    return listed, (bytes(8), bytes(8))


def varints(raw, base, field):
    """The varints that fill some bytes."""
    numbers, at = [], 0
    while at < len(raw):
        number, at = varint(raw, at, len(raw), field)
        numbers.append(number)
    check(numbers, base, field, "empty")
    return numbers


def read_positions(part, postings):
    """For each token, for each of its rows, the positions."""
    at = part.at("POSN")
    for (_, rows), raw in zip(postings, offset_table(part, "PNOF", "POSN", len(postings))):
        steps, places = iter(varints(raw, at, "POSN")), []
        for _ in rows:
            step = next(steps, None)
            check(step is not None, at, "POSN", "ends before the last row")
            where = [step >> 1]
            while step & 1:
                step = next(steps, None)
                check(step is not None, at, "POSN", "ends within a row")
                where.append(where[-1] + (step >> 1))
            ascending(where, at, "POSN")
            check(where[-1] < 1 << 31, at, "POSN", "a position too great")
            places.append(where)
        check(next(steps, None) is None, at, "POSN", "more than the rows have")
        yield places


def morton(lon, lat):
    cells = [min(int(share * 4294967296.0), (1 << 32) - 1) for share in ((lon + 180.0) / 360.0, (lat + 90.0) / 180.0)]
    return sum((cells[0] >> bit & 1) << 2 * bit + 1 | (cells[1] >> bit & 1) << 2 * bit for bit in range(32))


def readable_key(kind, key):
    if kind == "uuid":
        return str(uuid.UUID(bytes=key[0]))
    return {"lon": key[0], "lat": key[1]} if kind == "geo" else key[0]


def read_numbers(part, kind, rows, values, _distinct):
    form = KEY_FORMS[kind]
    raw = part.raw("KEYS", struct.calcsize(form) * values)
    keys = list(struct.iter_unpack(form, raw))
    row_of = part.array("ROWS", "I", values)
    if kind == "geo":
        bad = any(not (abs(lon) <= 180 and abs(lat) <= 90) or "-0.0" in (str(lon), str(lat)) for lon, lat in keys)
        check(not bad, part.at("KEYS"), "KEYS", "off the globe, or -0")
    if kind == "float":
        bad = any(math.isnan(key) or key == 0 and math.copysign(1, key) < 0 for (key,) in keys)
        check(not bad, part.at("KEYS"), "KEYS", "NaN or -0")
    order = [(morton(*key), *key) for key in keys] if kind == "geo" else keys
    ascending(list(zip(order, row_of)), part.at("KEYS"), "KEYS")
    check(not any(row >= rows for row in row_of), part.at("ROWS"), "ROWS", "a row out of range")
    listed = []
    for key, row in zip(keys, row_of):
        if not listed or listed[-1][0] != key:
            listed.append((key, []))
        listed[-1][1].append(row)
    listed = [(readable_key(kind, key), rows) for key, rows in listed]
    bounded = values and kind not in ("uuid", "geo")
    return listed, (raw[:8], raw[-8:]) if bounded else (bytes(8), bytes(8))


def read_bools(part, _kind, rows, _values, _distinct):
    read = (read_bitmap(part.raw(tag), rows, part.at(tag), tag) for tag in ("FALS", "TRUE"))
    return list(zip((False, True), read)), (bytes(8), bytes(8))


# ---------------------------------------------------------------- chapters 11 and 12: tombstones, patches


# ---------------------------------------------------------------- chapter 13: codes


def read_codes(part):
    part.demand("CODE BLKS CENT META")
    rows, dim, bits, measure, seed = part.meta("IIIIQ")
    at = part.at("META")
    check(1 <= dim <= 65536, at + 4, "dim", f"{dim}")
    check(bits in (1, 2, 4, 8), at + 8, "bits", f"{bits}")
    measure = one_of({1: "dot", 2: "euclid"}, measure, at + 12, "measure")
    padded = -(-dim // 64) * 64
    row_len, block_len = padded * bits // 8 + 16 if bits > 1 else 0, 4 * padded + 384
    data, blocks = part.raw("CODE", rows * row_len), part.raw("BLKS", -(-rows // 32) * block_len)
    part.raw("CENT", 4 * padded)
    if rows % 32:
        check_unused(blocks[-block_len:], padded, rows % 32, part.at("BLKS") + len(blocks) - block_len)
    about = {"count": rows, "dim": dim, "padded": padded, "bits": bits, "measure": measure, "seed": seed}
    cut = lambda raw, width: [raw[at : at + width].hex() for at in range(0, len(raw), width)] if raw else []
    return about, {"codes": cut(data, row_len), "blocks": cut(blocks, block_len)}


def check_unused(block, padded, used, at):
    """The rows of the last block from `used` on have zero codes and the factors of absent rows."""
    for j, byte in enumerate(block[: 4 * padded]):
        check(j % 16 < used or byte & 15 == 0, at + j, "code block", "a row past the last")
        check(16 + j % 16 < used or byte >> 4 == 0, at + j, "code block", "a row past the last")
    factors = block[4 * padded :]
    for which, absent in enumerate((struct.pack("<f", float("inf")), bytes(4), bytes(4))):
        for row in range(used, 32):
            first = 4 * (32 * which + row)
            check(factors[first : first + 4] == absent, at + 4 * padded + first, "code block", "a row past the last")


# ---------------------------------------------------------------- chapter 14: product codes


def read_product(part):
    part.demand("CODE BOOK PRES META")
    rows, dim, width, count, present, zero, seed = part.meta("IIIIIIQ")
    at = part.at("META")
    check(1 <= dim <= 65536, at + 4, "dim", f"{dim}")
    check(1 <= width <= 65536, at + 8, "width", f"{width}")
    check(1 <= count <= 256, at + 12, "count", f"{count}")
    check(zero == 0, at + 20, "zero", "not zero")
    row_len = -(-dim // width)
    data, book = part.raw("CODE", rows * row_len), part.array("BOOK", "f", dim * count)
    with_vector = set(read_bitmap(part.raw("PRES"), rows, part.at("PRES"), "PRES"))
    check(len(with_vector) == present, at + 16, "present", f"{present} instead of {len(with_vector)}")
    codes = []
    for row in range(rows):
        first = row * row_len
        if row in with_vector:
            codes.append(data[first : first + row_len].hex())
            check(max(data[first : first + row_len]) < count, 4096 + first, "code", "has no centroid")
        else:
            codes.append(None)
            check(is_zero(data, first, first + row_len), 4096 + first, "absent row", "not zero")
    about = {"count": rows, "present": present, "dim": dim, "width": width, "centroids": count, "seed": seed}
    return about, {"codes": codes, "book": book}


# ---------------------------------------------------------------- chapter 15: statistics

NO_FILTER = 65535
NUMBER_KINDS = 1 << 3 | 1 << 4 | 1 << 5


def filter_bytes(distinct):
    return 0 if distinct == NO_FILTER else 4 * -(-distinct // 4)


def ends_of(raw, kinds, at):
    """Least and greatest number, or None where there is none."""
    if not kinds & NUMBER_KINDS:
        check(is_zero(raw, 0, 16), at, "min, max", "there is no number")
        return None
    low, high = struct.unpack("<dd", raw)
    check(low <= high, at, "min, max", f"{low} to {high}")
    check(not any(end == 0 and math.copysign(1, end) < 0 for end in (low, high)), at, "min, max", "-0")
    return [low, high]


def read_zones(part, field, firsts, numbers):
    """The records of one field, and how long its filters are."""
    count = len(firsts) - 1
    records, at = part.raw("RECS"), part.at("RECS")
    zones, filters, end = [], part.raw("FILT"), field["filters"]
    for zone, (first, after) in enumerate(zip(firsts, firsts[1:])):
        place = 8 * (field["number"] * count + zone)
        kinds, with_value, with_null, distinct = struct.unpack_from("<4H", records, place)
        check(kinds < 1 << 11, at + place, "kinds", f"{kinds:#x}")
        check(max(with_value, with_null) <= after - first, at + place, "rows", "more than the zone has")
        check(distinct <= 4096 or distinct == NO_FILTER, at + place, "distinct", f"{distinct}")
        ends = ends_of(numbers[16 * zone : 16 * zone + 16] if numbers else bytes(16), kinds, at + place)
        start, end = end, end + filter_bytes(distinct)
        check(end <= len(filters), part.at("FILT"), "FILT", "ends too soon")
        zones.append({"first_row": first, "kinds": kinds, "rows_with_value": with_value, "rows_with_null": with_null,
                      "distinct": distinct, "numbers": ends, "filter": filters[start:end].hex()})
    return zones, end


def read_statistics(part):
    part.demand("FILT RECS NUMS ZONE PATH FLDS META")
    rows, zones, fields, numeric, flags, zero, exact_for = part.meta("IIIIIIQ")
    at = part.at("META")
    check(zones <= rows, at + 4, "zones", f"{zones} of {rows} rows")
    check(fields <= 256, at + 8, "fields", f"{fields}")
    check(flags < 2, at + 16, "flags", f"unknown bits {flags:#x}")
    check(zero == 0, at + 20, "zero", "not zero")
    firsts = part.array("ZONE", "I", zones + 1)
    ascending(firsts, part.at("ZONE"), "ZONE")
    check(firsts[0] == 0 and firsts[-1] == rows, part.at("ZONE"), "ZONE", "not from 0 to rows")
    check(all(b - a <= 65535 for a, b in zip(firsts, firsts[1:])), part.at("ZONE"), "ZONE", "a zone too long")
    part.raw("RECS", 8 * fields * zones)
    numbers, raw, paths = part.raw("NUMS", 16 * numeric * zones), part.raw("FLDS", 64 * fields), part.raw("PATH")
    path_end, filters_end, tables, listed, names = 0, 0, 0, [], []
    for number in range(fields):
        at = part.at("FLDS") + 64 * number
        end, kinds, zero, with_value, with_null, filters, values, text_bytes, ends, zeros = \
            struct.unpack_from("<IHHIIQQQ16s8s", raw, 64 * number)
        check(path_end < end <= len(paths), at, "path_end", f"{end}")
        check(kinds < 1 << 11, at + 4, "kinds", f"{kinds:#x}")
        check(zero == 0 and zeros == bytes(8), at + 6, "zero", "not zero")
        check(filters == filters_end, at + 16, "filters", f"{filters} instead of {filters_end}")
        names.append(paths[path_end:end])
        path_end = end
        mine = None
        if kinds & NUMBER_KINDS:
            mine, tables = numbers[16 * zones * tables : 16 * zones * (tables + 1)], tables + 1
            check(len(mine) == 16 * zones, part.at("NUMS"), "NUMS", "too short")
        found, filters_end = read_zones(part, {"number": number, "filters": filters}, firsts, mine)
        every = [zone["numbers"] for zone in found if zone["numbers"]]
        ends = ends_of(ends, kinds, at + 40)
        check(ends == ([min(n[0] for n in every), max(n[1] for n in every)] if every else None), at + 40, "min, max",
              "not those of the zones")
        bits = 0
        for zone in found:
            bits |= zone["kinds"]
        sums = tuple(sum(zone[key] for zone in found) for key in ("rows_with_value", "rows_with_null"))
        check((bits, *sums) == (kinds, with_value, with_null), at, "figures", "not those of the zones")
        listed.append({"path": utf8(names[-1], at, "PATH"), "kinds": kinds, "rows_with_value": with_value,
                       "rows_with_null": with_null, "values": values, "text_bytes": text_bytes, "numbers": ends,
                       "zones": found})
    ascending(names, part.at("PATH"), "PATH")
    check(path_end == len(paths) and tables == numeric, part.at("PATH"), "PATH", "not the paths of the fields")
    check(filters_end == len(part.raw("FILT")), part.at("FILT"), "FILT", "longer than the filters")
    about = {"count": rows, "zones": zones, "exact_for": exact_for, "complete": bool(flags)}
    return about, {"fields": listed}


def read_tombstones(part):
    part.demand("DEAD META")
    rows, dead, exact_for = part.meta("IIQ")
    found = read_bitmap(part.raw("DEAD"), rows, part.at("DEAD"), "DEAD")
    check(len(found) == dead, part.at("META") + 4, "dead", f"{dead} instead of {len(found)}")
    return {"count": rows, "dead_count": dead, "exact_for": exact_for}, {"dead": found}


def read_patch(part):
    part.demand("DATA INDX ROWS SEQN META")
    rows, patched, blocks, zero, raw_bytes, exact_for, seqno_min, seqno_max = part.meta("IIIIQQQQ")
    at = part.at("META")
    check(zero == 0, at + 12, "zero", "not zero")
    row_of, seqnos = part.array("ROWS", "I", patched), part.array("SEQN", "Q", patched)
    ascending(row_of, part.at("ROWS"), "ROWS")
    check(all(row < rows for row in row_of[-1:]), part.at("ROWS"), "ROWS", "a row out of range")
    check((seqno_min, seqno_max) == (min(seqnos, default=0), max(seqnos, default=0)), at + 32, "seqno_min, seqno_max",
          "not those of SEQN")
    check(seqno_max <= exact_for, at + 40, "seqno_max", f"{seqno_max} is above exact_for {exact_for}")
    payloads = read_payload_blocks(part, patched, blocks, raw_bytes)
    listed = [{"row": r, "seqno": s, "payload": p} for r, s, p in zip(row_of, seqnos, payloads)]
    about = {"count": patched, "blocks": blocks, "segment_rows": rows, "exact_for": exact_for, "raw_bytes": raw_bytes,
             "seqno_min": seqno_min, "seqno_max": seqno_max}
    return about, {"patches": listed}


PART_READERS = {"codes": read_codes, "rows": read_rows, "vectors": read_vectors, "graph": read_graph, "payload": read_payload_part,
                "column": read_column, "tombstones": read_tombstones, "patch": read_patch, "product": read_product, "statistics": read_statistics}


def read_part(data, expect, contents):
    part = Part(data, expect)
    sections = [{"tag": tag.decode("latin-1"), "at": at, "len": length} for tag, (at, length) in part.sections.items()]
    found = {"kind": part.kind, "version": part.version, "part_id": part.part_id,
             "collection": uuid_text(part.collection), "shard": part.shard, "features_required": 0,
             "features_optional": part.features_optional, "source_hash": part.source_hash,
             "blocks": part.block_count, "sections": sections, "hash": hashlib.sha256(data).hexdigest()}
    if "hash" in expect:
        check(found["hash"] == expect["hash"], 0, "SHA-256", "differs from the manifest")
        check(part.source_hash == expect["source_hash"], 72, "source_hash", "differs from the manifest")
    if part.kind in PART_READERS:
        about, listed = PART_READERS[part.kind](part)
        if "exact_for" in about and "hash" in expect:
            check(about["exact_for"] == expect["exact_for"], part.at("META"), "exact_for", "differs from the manifest")
        found["contents"] = {**about, **listed} if contents else about
    return found


# ---------------------------------------------------------------- chapter 4: shard manifests


def read_envelope(data, magic, expect):
    """The frame of manifests and catalogs; a cursor over the body."""
    check(len(data) >= 116, 0, "file", "truncated")
    (found, version, zero, required, optional, number, collection, shard, zero2, body_len, body_hash, zero3, crc) = \
        struct.unpack_from("<8sII3Q16sIIQ32sII", data)
    check(found == magic, 0, "magic", "wrong magic")
    check(crc32(0, data[:108]) == crc, 108, "header crc", "wrong checksum")
    check_version(version, 8, "format version")
    check_features(required, 16)
    check((zero, zero2, zero3) == (0, 0, 0), 12, "zero", "not zero")
    identity = {"number": number, "collection": uuid_text(collection), "shard": shard}
    for field, value in identity.items():
        check(expect.get(field, value) == value, 32, field, f"{value} is not that of the path")
    check(number != 0, 32, "number", "0 is not a file number")
    check(len(data) == 116 + body_len, 64, "body length", f"{body_len} in a file of {len(data)} bytes")
    check(crc32(0, data[:-4]) == struct.unpack("<I", data[-4:])[0], len(data) - 4, "file crc", "wrong checksum")
    check(hashlib.sha256(data[112:-4]).digest() == body_hash, 72, "body hash", "wrong hash")
    body = Postcard(data, 112, len(data) - 4)
    check_version(body.u8("body version"), 112, "body version")
    return {"version": version, "features_optional": optional, **identity}, body


def read_manifest(data, expect, _contents):
    found, body = read_envelope(data, b"CAIRNMAN", expect)
    found.update(kind="manifest", epoch=body.u32("epoch"), flushed=body.u64("flushed"),
                 hash_range=[body.u64("hash first"), body.u64("hash last")], next_part=body.u64("next part"),
                 next_segment=body.u64("next segment"), first_wal=body.u64("first wal"))
    check(found["hash_range"][0] <= found["hash_range"][1], 113, "hash range", "first after last")

    def recall_point():
        point = {"setting": body.u32("recall setting"), "recall": body.u32("recall")}
        check(point["recall"] <= 10000, body.at, "recall", f"{point['recall']}")
        return point

    def origin():
        written = {"collection": uuid_text(body.take(16, "origin collection")), "shard": body.u32("origin shard"),
                   "part_id": body.u64("origin part id")}
        check(written["part_id"] != 0, body.at, "origin part id", "0 is not a part id")
        return written

    def part():
        entry = {"id": body.u64("part id"), "kind": body.tag(PART_KINDS, "part kind"), "name": body.text("part name"),
                 "len": body.u64("part length"), "hash": body.take(32, "part hash").hex()}
        source = body.option(lambda: body.take(32, "source hash").hex(), "source hash")
        entry.update(source_hash=source, exact_for=body.u64("exact for"), recall=body.list(recall_point, "recall"),
                     origin=body.option(origin, "origin"))
        settings = [point["setting"] for point in entry["recall"]]
        check(settings == sorted(settings), body.at, "recall setting", "not ascending")
        check(1 <= entry["id"] < found["next_part"], body.at, "part id", f"{entry['id']}")
        return entry

    def segment():
        entry = {"id": body.u64("segment id"), "rows": body.u32("rows"), "seqno_min": body.u64("seqno min"),
                 "seqno_max": body.u64("seqno max"), "parts": body.list(part, "parts")}
        check(1 <= entry["id"] < found["next_segment"], body.at, "segment id", f"{entry['id']}")
        check(entry["seqno_min"] <= entry["seqno_max"], body.at, "seqno max", "less than the smallest")
        return entry

    found["segments"] = body.list(segment, "segments")
    body.finish()
    unique([s["id"] for s in found["segments"]], 112, "segment id")
    unique([p["id"] for s in found["segments"] for p in s["parts"]], 112, "part id")
    return found


# ---------------------------------------------------------------- chapter 5: the catalog


def opaque(raw):
    """A stored value whose validity is not checked by the chapter."""
    try:
        value, at = read_value(raw, 0, len(raw))
        return value if at == len(raw) else raw.hex()
    except Invalid:
        return raw.hex() if raw else None


def read_catalog(data, expect, _contents):
    found, body = read_envelope(data, b"CAIRNCAT", expect)
    check((found["collection"], found["shard"]) == (str(uuid.UUID(int=0)), 0), 40, "collection", "not zero")

    def vector():
        return {"name": body.text("vector name"), "dim": body.u32("dim"), "metric": body.tag(METRICS, "metric"),
                "element": body.tag(ELEMENTS, "element"), "hnsw": {
                    "m": body.u32("m"), "ef_construct": body.u32("ef construct"),
                    "full_scan_threshold_kb": body.u64("full scan threshold kb"), "seed": body.u64("seed")},
                "codec": body.tag(CODECS, "codec")}

    def field():
        return {"path": body.text("path"), "type": body.tag(FIELD_TYPES, "field type"),
                "settings": opaque(body.bytes("settings"))}

    def compaction():
        return {"deleted_threshold": body.f64("deleted threshold"), "vacuum_min_rows": body.u64("vacuum min rows"),
                "segment_count_target": body.u32("segment count target"),
                "segment_bytes_max": body.u64("segment bytes max"),
                "indexing_threshold_kb": body.u64("indexing threshold kb"),
                "flush_interval_ms": body.u64("flush interval ms"),
                "memtable_bytes_max": body.u64("memtable bytes max"), "fan_out": body.u32("fan out"),
                "jobs_max": body.u32("jobs max"), "rate_bytes_per_s": body.u64("rate bytes per s"),
                "paused": body.bool("paused")}

    def schema():
        entry = {"version": body.u64("schema version"), "vectors": body.list(vector, "vectors"),
                 "fields": body.list(field, "fields"), "compaction": compaction(),
                 "document": opaque(body.bytes("document"))}
        unique([v["name"] for v in entry["vectors"]], body.at, "vector name")
        unique([f["path"] for f in entry["fields"]], body.at, "field path")
        return entry

    def collection():
        entry = {"id": uuid_text(body.take(16, "collection id")), "name": body.text("collection name"),
                 "schema": schema(), "shards": body.list(lambda: body.u32("shard"), "shards"),
                 "created_at_ms": body.u64("created at ms")}
        unique(entry["shards"], body.at, "shard")
        return entry

    found["collections"] = body.list(collection, "collections")
    found["aliases"] = body.list(lambda: {"alias": body.text("alias"), "collection": body.text("collection")}, "aliases")
    body.finish()
    for field in ("id", "name"):
        unique([c[field] for c in found["collections"]], 112, f"collection {field}")
    unique([a["alias"] for a in found["aliases"]], 112, "alias")
    del found["collection"], found["shard"]
    return {"kind": "catalog", **found}


# ---------------------------------------------------------------- chapter 3: the write-ahead log

RECORD_KINDS = {1: "ops", 2: "sync marker", 3: "seal"}
RUN, IGNORABLE = 2, 4
BODY_MAX = 67108864


class TooOld(Invalid):
    """A record of an unknown kind that may not be stepped over: the reader is too old, the file not damaged."""


def read_wal_header(data, expect):
    check(len(data) >= 128, 0, "file header", "truncated")
    (magic, version, zero, required, optional, number, file_id, collection, shard, zero2, previous, previous_id,
     length, zero3, crc) = struct.unpack_from("<8sII4Q16sIIQQQ28sI", data)
    check(magic == b"CAIRNWAL", 0, "magic", "wrong magic")
    check_version(version, 8, "format version")
    check(crc32(0, data[:124]) == crc, 124, "header crc", "wrong checksum")
    check((zero, zero2, zero3) == (0, 0, bytes(28)), 12, "zero", "not zero")
    check_features(required, 16)
    check(number != 0 and file_id != 0, 32, "file number, file id", "0")
    check(length >= 128, 88, "file length", f"{length}")
    found = {"number": number, "collection": uuid_text(collection), "shard": shard}
    for field, value in found.items():
        check(expect.get(field, value) == value, 32, field, f"{value} is not that of the path")
    return {"kind": "wal", "version": version, "cut_off": False, **found, "file_id": file_id,
            "previous_number": previous, "previous_file_id": previous_id, "features_optional": optional}, length


def record_header(data, file_id, at):
    """The fields of a valid record header at this offset, or the reason why there is none."""
    if at + 56 > len(data):
        return None, "truncated"
    crc, body_crc, first, last, synced, schema, length, epoch, kind, flags = struct.unpack_from("<IIQQQQIIBB", data, at)
    if crc32(place_seed(file_id, at), data[at + 4 : at + 56]) != crc:
        return None, "wrong checksum"
    allowed = {1: (0, 2, 3), 2: (0,), 3: (0,)}.get(kind, (0, 4))
    rules = [length <= BODY_MAX, is_zero(data, at + 50, at + 56), 128 <= synced <= at, kind != 0, flags in allowed,
             kind != 1 or 1 <= first <= last, kind not in (2, 3) or first == last, kind != 2 or length == 0,
             kind != 3 or length == 16]
    if not all(rules):
        return None, "a field breaks its rule"
    return {"at": at, "kind": RECORD_KINDS.get(kind, f"unknown {kind}"), "len": length, "seq_first": first,
            "seq_last": last, "synced_upto": synced, "epoch": epoch, "schema_version": schema, "flags": flags,
            "body_crc": body_crc}, None


def record_at(data, file_id, at):
    record, why = record_header(data, file_id, at)
    if why:
        return None, why
    end = at + 56 + record["len"]
    if up(end, 8) > len(data):
        return None, "does not fit in the file"
    if crc32(place_seed(file_id, at), data[at + 56 : end]) != record.pop("body_crc"):
        return None, "wrong checksum of the body"
    if not is_zero(data, end, up(end, 8)):
        return None, "padding is not zero"
    return record, None


def proof_after(data, file_id, at):
    """The offset of a record header that says that the bytes at `at` had been synced."""
    last = len(data.rstrip(b"\0"))
    for y in range(at + 8, min(last, len(data) - 55), 8):
        if data[y + 48] and data[y + 50 : y + 56] == bytes(6):
            record, _ = record_header(data, file_id, y)
            if record and record["synced_upto"] > at:
                return y
    return None


def is_cut_off(data):
    """Whether the file was made, but not its header: it holds nothing."""
    verifies = data[:8] == b"CAIRNWAL" and len(data) >= 128 and crc32(0, data[:124]) == struct.unpack_from("<I", data, 124)[0]
    return not verifies and is_zero(data, min(128, len(data)), len(data))


def read_wal(data, expect, contents):
    if is_cut_off(data):
        return {"kind": "wal", "cut_off": True}
    found, length = read_wal_header(data, expect)
    check(length == len(data), 88, "file length", f"{length} in a file of {len(data)} bytes")
    records, at, last, in_run, outcome = [], 128, 0, False, None
    while outcome is None:
        sealed = bool(records) and records[-1]["kind"] == "seal"
        if sealed or is_zero(data, at, len(data)):
            check(is_zero(data, at, len(data)), at, "seal", "corrupt: bytes after it are not zero")
            outcome = {"outcome": "clean", "sealed": sealed}
            break
        record, why = record_at(data, found["file_id"], at)
        if record is None:
            proof = proof_after(data, found["file_id"], at)
            check(proof is None, at, "record", f"corrupt: {why}; the record at {proof} was made after these were synced")
            outcome = {"outcome": "torn", "at": at, "why": why}
            break
        ops = read_record(data, record, len(records), last, in_run)
        if contents and ops is not None:
            record["ops"] = ops
        if record["kind"] in RECORD_KINDS.values():
            last = record["seq_last"]
        if record["kind"] == "ops":
            in_run = record["flags"] == RUN
        records.append(record)
        at = up(at + 56 + record["len"], 8)
    found.update(records=records, end_of_records=at, end=outcome)
    return found


def read_record(data, record, before, last, in_run):
    """The rules of order, runs and seals for a record after `before` others; its operations, if it has any."""
    at, kind = record["at"], record["kind"]
    if kind not in RECORD_KINDS.values():
        if not record["flags"] & IGNORABLE:
            raise TooOld(at, "record kind", f"{kind} is not known and not ignorable: written by a newer version")
        return None
    if kind != "ops":
        check(record["seq_last"] >= last, at, "last seqno", "corrupt: less than one before it")
        if kind == "seal":
            body = struct.unpack_from("<QQ", data, at + 56)
            check(body == (before, record["seq_last"]), at + 56, "seal", "corrupt: wrong body")
        return None
    check(record["seq_first"] > last, at, "first seqno", "corrupt: not above those before it")
    check(record["flags"] & RUN or not in_run, at, "run", "corrupt: a record without the flag stands in it")
    ops = read_ops(data[at + 56 : at + 56 + record["len"]], at + 56)
    check(len(ops) == record["seq_last"] - record["seq_first"] + 1, at, "operation count", "corrupt: not the SeqNos")
    return ops


# ---------------------------------------------------------------- chapter 3b: operations


class Ops:
    """A cursor over the body of an operations record; `base` is its place in the file."""

    def __init__(self, data, base):
        self.data, self.base, self.at, self.end = data, base, 0, len(data)

    def ok(self, condition, field, why):
        check(condition, self.base + self.at, field, why)

    def take(self, length, field):
        self.ok(length <= self.end - self.at, field, "truncated")
        self.at += length
        return self.data[self.at - length : self.at]

    def unpack(self, layout, field):
        return struct.unpack("<" + layout, self.take(struct.calcsize("<" + layout), field))

    def align(self):
        self.ok(not any(self.take(-self.at % 8, "padding")), "padding", "not zero")


def read_ops(body, base):
    ops = Ops(body, base)
    count, zero = ops.unpack("II", "operation count")
    ops.ok(zero == 0, "zero", "not zero")
    found = [read_op(ops) for _ in range(count)]
    ops.ok(ops.at == len(body), "body", "trailing bytes")
    return found


def read_op(ops):
    start, ops.end = ops.at, len(ops.data)
    kind, form, zero, n, tables, length = ops.unpack("BBHIII", "operation")
    ops.ok(zero == 0, "zero", "not zero")
    ops.ok(kind in (1, 2, 3), "operation kind", f"unknown kind {kind}")
    ops.ok(length % 8 == 0 and 16 <= length <= len(ops.data) - start, "operation length", f"{length}")
    ops.end = start + length
    ids = read_ids(ops, form, n)
    if kind == 1:
        ops.ok(tables <= 65535, "vector blocks", f"{tables}")
        vectors = read_vector_blocks(ops, n, tables)
        payloads = read_payload_table(ops, n)
        points = [{"id": i, "vectors": v, "payload": p} for i, v, p in zip(ids, vectors, payloads)]
        found = {"op": "upsert", "points": points}
    elif kind == 2:
        ops.ok(tables == 0, "table count", f"{tables} in a delete")
        found = {"op": "delete", "ids": ids}
    else:
        entries = ops.unpack(f"{n}I", "entries")
        ops.align()
        payloads = read_payload_table(ops, tables)
        ops.ok(all(e < tables for e in entries), "entries", "a payload out of range")
        found = {"op": "patch", "points": [{"id": i, "payload": payloads[e]} for i, e in zip(ids, entries)]}
    ops.ok(ops.at == start + length, "operation length", "does not end where it says")
    return found


def read_ids(ops, form, n):
    ops.ok(form in (1, 2, 3), "id form", f"{form}")
    forms = [form] * n
    if form == 3:
        forms = list(ops.take(n, "id forms"))
        ops.align()
    ids = []
    if form == 1:
        return list(ops.unpack(f"{n}Q", "ids"))
    for each in forms:
        raw = ops.take(16, "ids")
        ops.ok(each in (1, 2), "id form", f"{each}")
        ops.ok(each == 2 or not any(raw[8:]), "id", "not zero after a number")
        ids.append(uuid_text(raw) if each == 2 else int.from_bytes(raw[:8], "little"))
    return ids


def read_vector_blocks(ops, n, tables):
    vectors, previous = [[] for _ in range(n)], -1
    for _ in range(tables):
        index, presence, zero, stride, present, zero2 = ops.unpack("HBBIII", "vector block")
        ops.ok(index > previous, "vector index", "not strictly ascending")
        ops.ok(zero == 0 and zero2 == 0, "zero", "not zero")
        ops.ok(stride >= 1, "stride", "0")
        ops.ok(presence in (1, 2), "presence", f"{presence}")
        points, previous = list(range(n)), index
        if presence == 2:
            bitmap = ops.take(8 * -(-n // 64), "bitmap")
            points = bits_of(bitmap)
            ops.ok(points[-1:] < [n], "bitmap", "a bit at or above the number of points")
            ops.ok(len(points) < n, "bitmap", "all bits are set")
            ranks = ops.unpack(f"{-(-n // 64)}I", "ranks")
            ops.ok(all(bisect.bisect_left(points, 64 * w) == rank for w, rank in enumerate(ranks)), "ranks", "wrong")
            ops.align()
        ops.ok(present == len(points), "present", f"{present} instead of {len(points)}")
        for point in points:
            vectors[point].append({"index": index, "bytes": ops.take(stride, "rows").hex()})
        ops.align()
    return vectors


def read_payload_table(ops, m):
    offsets = ops.unpack(f"{m + 1}I", "payload offsets")
    ops.ok(offsets[0] == 0 and list(offsets) == sorted(offsets), "payload offsets", "do not ascend from 0")
    ops.align()
    raw = ops.take(offsets[-1], "payloads")
    payloads = read_payloads(raw, offsets, ops.base + ops.at - len(raw))
    ops.align()
    return payloads


# ---------------------------------------------------------------- a file, a shard, a directory

MAGICS = {b"CAIRNPRT": "part", b"CAIRNWAL": "wal", b"CAIRNMAN": "manifest", b"CAIRNCAT": "catalog"}
READERS = {"part": read_part, "wal": read_wal, "manifest": read_manifest, "catalog": read_catalog}


def read_file(path, contents=False, walking=False):
    """What a file holds, as a dict with `valid` and, if that is false, `error`."""
    identity, found = identity_of_path(path), {"file": path}
    if identity == "foreign" or os.path.basename(path) == "LOCK":
        return {**found, "kind": "foreign" if identity == "foreign" else "lock", "valid": True}
    with open(path, "rb") as file:
        data = file.read()
    expect = dict(identity or {})
    reader = MAGICS.get(data[:8])
    if not identity and not reader and (walking or not path.endswith(".wal")):
        return {**found, "kind": "foreign" if walking else "unknown", "len": len(data), "valid": walking}
    if identity:
        reader = "part" if identity["kind"] in KIND_TAGS else identity["kind"]
    if reader == "part" and identity:
        entries = manifest_entries(os.path.dirname(os.path.dirname(os.path.abspath(path))))
        entry = entries.get((expect["part_id"], expect["kind"]), {})
        expect.update({key: value for key, value in entry.items() if key != "id"}, **entry.get("origin") or {})
        found["named"] = "hash" in expect
    try:
        found.update(len=len(data), **READERS[reader or "wal"](data, expect, contents), valid=True)
    except Invalid as error:
        found.update(kind=expect.get("kind", reader), len=len(data), valid=False, too_old=isinstance(error, TooOld),
                     error={"at": error.at, "field": error.field, "why": error.why})
    return found


ENTRIES = {}


def numbered(folder, extension):
    """The numbers of our files in a folder, ascending, with their paths."""
    paths = [os.path.join(folder, name) for name in os.listdir(folder)] if os.path.isdir(folder) else []
    found = [(identity_of_path(path), path) for path in paths if path.endswith(extension)]
    return sorted((who["number"], path) for who, path in found if isinstance(who, dict))


def manifest_entries(shard):
    """The parts that the manifests of a shard name, by id and kind."""
    if shard not in ENTRIES:
        ENTRIES[shard] = {}
        for _, path in numbered(os.path.join(shard, "manifest"), ".manifest"):
            for segment in read_file(path).get("segments", []):
                for part in segment["parts"]:
                    ENTRIES[shard][part["id"], part["kind"]] = part
    return ENTRIES[shard]


def read_shard(shard, results):
    """What no file says alone: the parts of the current manifest, and the chain of the WAL."""
    by_path = {os.path.abspath(result["file"]): result for result in results}
    manifests = [by_path[path] for _, path in numbered(os.path.join(shard, "manifest"), ".manifest")]
    found = {"file": shard, "kind": "shard", "manifest": manifests[-1]["number"] if manifests and manifests[-1]["valid"]
             else None, "problems": []}
    say = found["problems"].append
    if found["manifest"] is None:
        say("the highest manifest is missing or invalid")
    else:
        check_segments(shard, manifests[-1], by_path, say)
        files = {number: by_path[path] for number, path in numbered(os.path.join(shard, "wal"), ".wal")}
        found["last_seqno"] = check_log(files, manifests[-1]["flushed"], say)
    return {**found, "valid": not found["problems"]}


def check_segments(shard, manifest, by_path, say):
    for segment in manifest["segments"]:
        names = [(part["kind"], part["name"]) for part in segment["parts"]]
        if len(set(names)) < len(names):
            say(f"segment {segment['id']} has two parts of one kind and name")
        if names.count(("rows", "")) != 1:
            say(f"segment {segment['id']} has not exactly one rows part")
        for part in segment["parts"]:
            name = f"{part['id']:016x}.{part['kind']}"
            result = by_path.get(os.path.join(shard, "parts", name))
            if result is None:
                say(f"{name} is missing")
            elif result["valid"] and "contents" in result:
                about = result["contents"]
                rows = about.get("segment_rows", about["count"])
                if rows != segment["rows"]:
                    say(f"{name} has {rows} rows, segment {segment['id']} has {segment['rows']}")
                if part["kind"] == "rows" and any(about[k] != segment[k] for k in ("seqno_min", "seqno_max")):
                    say(f"{name} has other SeqNos than segment {segment['id']}")


def opening(file):
    """The SeqNo of the opening marker of a WAL file, or None if it has none."""
    records = file.get("records") or [{"kind": "nothing"}]
    return records[0]["seq_last"] if records[0]["kind"] == "sync marker" else None


def log_of(files, flushed, say):
    """The files of the log, first to last, out of all WAL files by number."""
    numbers = sorted(files)
    while numbers and files[numbers[-1]]["valid"] and not files[numbers[-1]].get("records"):
        numbers.pop()
    if not numbers:
        return say("no file of the log is there")
    log, number, file_id = [], numbers[-1], None
    if files[number]["valid"] and files[number]["end"].get("sealed") and number == max(files):
        say(f"WAL file {number} is sealed, but no file has a higher number")
    while True:
        file = files.get(number)
        if file is None or not file["valid"] or file["cut_off"] or file_id not in (None, file["file_id"]):
            return say(f"WAL file {number} is missing, damaged, or another one than the file after it names")
        if opening(file) is None:
            return say(f"no marker opens WAL file {number}")
        log.insert(0, file)
        if opening(file) <= flushed:
            return log
        if not 0 < file["previous_number"] < number:
            return say(f"the log begins after SeqNo {opening(file)}, only those up to {flushed} are flushed")
        number, file_id = file["previous_number"], file["previous_file_id"]


def check_log(files, flushed, say):
    """That the SeqNos of the log follow one another, and that runs are whole; the last SeqNo that counts."""
    log = log_of(files, flushed, say)
    last, run = opening(log[0]) if log else 0, []
    for file, after in zip(log or [], (log or [])[1:] + [None]):
        until = U64_MAX if after is None else opening(after)
        if until < last:
            return say(f"the file after WAL file {file['number']} goes back to SeqNo {until}")
        for record in file["records"]:
            if record["kind"] not in RECORD_KINDS.values() or record["kind"] == "ops" and record["seq_last"] > until:
                continue
            if record["kind"] != "ops":
                if record["seq_last"] != last and record["seq_last"] <= until:
                    return say(f"WAL file {file['number']}, byte {record['at']}: the log ends at SeqNo {last} here")
                continue
            if record["seq_first"] != last + 1 or run and not record["flags"] & RUN:
                return say(f"WAL file {file['number']}, byte {record['at']}: does not go on after SeqNo {last}")
            last = record["seq_last"]
            run = run + [record["seq_first"]] if record["flags"] == RUN else []
        if after and last != until:
            return say(f"WAL file {file['number']} ends at SeqNo {last}, the file after it goes on after {until}")
    return run[0] - 1 if run else last


def read_all(paths, contents):
    results = []
    for path in paths:
        if not os.path.isdir(path):
            results.append(read_file(path, contents))
            continue
        inside = sorted(os.path.join(top, name) for top, _, names in os.walk(path) for name in names)
        found = [read_file(file, contents, walking=True) for file in inside]
        shards = {os.path.dirname(os.path.dirname(os.path.abspath(r["file"]))) for r in found
                  if isinstance(identity_of_path(r["file"]), dict) and r["kind"] != "catalog"}
        results += found + [read_shard(shard, found) for shard in sorted(shards)]
    return results


def printable(value):
    """JSON has no NaN and no infinities."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list) else value


def print_text(result):
    rest = {key: value for key, value in result.items() if key not in ("file", "kind", "valid", "error")}
    error = result.get("error")
    state = "valid" if result["valid"] else f"INVALID: {error['field']} at byte {error['at']}: {error['why']}" \
        if error else "INVALID"
    print(f"{result['file']}: {result['kind']}, {state}")
    for key, value in rest.items():
        items = value if isinstance(value, list) and value and isinstance(value[0], dict) else [value]
        for item in items:
            print(f"    {key}: {json.dumps(printable(item), ensure_ascii=False)}")


def main():
    parser = argparse.ArgumentParser(description="Verifies and prints files of Cairn.")
    parser.add_argument("paths", nargs="+", metavar="FILE|DIR")
    parser.add_argument("--json", action="store_true", help="print one JSON array")
    parser.add_argument("--contents", action="store_true", help="print every record, row and value too")
    options = parser.parse_args()
    results = read_all(options.paths, options.contents)
    for result in results:
        if "records" in result and not options.contents:
            result["records"] = len(result["records"])
    if options.json:
        json.dump(printable(results), sys.stdout, ensure_ascii=False)
        print()
    else:
        for result in results:
            print_text(result)
        bad = sum(not result["valid"] for result in results)
        print(f"{len(results)} read, {bad} invalid")
    return 1 if any(not result["valid"] for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
