"""Writes files of Cairn byte by byte, as the chapters say, with every checksum right whatever the content is.

`damage.py` and `cases.py` use it to make files that break one rule only, so that no checksum hides whether the rule is
kept by a reader.
"""
import hashlib
import struct

from cairn_read import KIND_TAGS, PART_KINDS, BLOCK, FOOTER, HEADER, TABLES, crc32, place_seed, up

COLLECTION = bytes.fromhex("0102030405060708090a0b0c0d0e0f10")


def varint(number):
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def text(value):
    raw = value.encode() if isinstance(value, str) else value
    return varint(len(raw)) + raw


def envelope(magic, body, number=7, collection=COLLECTION, shard=0, required=0):
    """A manifest or catalog around a postcard body."""
    head = struct.pack("<8sII3Q16sIIQ32sI", magic, 1, 0, required, 0, number, collection, shard, 0, len(body),
                       hashlib.sha256(body).digest(), 0)
    data = head + struct.pack("<I", crc32(0, head)) + body
    return data + struct.pack("<I", crc32(0, data))


def reseal_envelope(data):
    """The same header fields and body with checksums that fit."""
    head = data[:72] + hashlib.sha256(data[112:-4]).digest() + data[104:108]
    data = head + struct.pack("<I", crc32(0, head)) + data[112:-4]
    return data + struct.pack("<I", crc32(0, data))


def seal_part(body, sections, block_count=None):
    """A part around the bytes of its body (header included); `sections` are (tag, zero, offset, len)."""
    body = bytearray(body)
    part_id, collection, shard = struct.unpack_from("<Q16sI", body, 40)
    kind = struct.unpack_from("<I", body, 12)[0]

    def crc(unit, data):
        return crc32(crc32(0, struct.pack("<16sIIQQ", collection, shard, kind, part_id, unit)), bytes(data))

    struct.pack_into("<I", body, 124, crc(HEADER, body[:124]))
    blocks = [crc(n, body[at : at + BLOCK]) for n, at in enumerate(range(0, len(body), BLOCK))]
    tables = struct.pack(f"<{len(blocks)}I", *blocks)
    tables += bytes(-len(tables) % 8) + b"".join(struct.pack("<4sIQQ", *each) for each in sections)
    footer = struct.pack("<QQIIQ5I", len(body), len(body) + len(tables) + 64, block_count or len(blocks), len(sections),
                         part_id, kind, struct.unpack_from("<I", body, 8)[0], struct.unpack_from("<I", body, 124)[0],
                         crc(TABLES, tables), 0)
    footer += struct.pack("<I", crc(FOOTER, footer[:52]))
    return bytes(body + tables + footer + b"CAIRNEND")


def part(kind, sections, source=None, required=0, version=1, part_id=42, flags=None, block_len=BLOCK):
    """A part file; `sections` is a list of (tag, bytes)."""
    derived = kind in ("codes", "graph", "column", "product", "statistics")
    source = bytes([0xAB]) * 32 if source is None and derived else source or bytes(32)
    flags = int(derived) if flags is None else flags
    body = bytearray(struct.pack("<8s4I3Q16sII32s24x", b"CAIRNPRT", 1, KIND_TAGS[kind], version, block_len, required, 0,
                                 part_id, COLLECTION, 3, flags, source))
    table = []
    for tag, content in sections:
        body += bytes(up(len(body), 4096) - len(body))
        table.append((tag.encode(), 0, len(body), len(content)))
        body += content
    body += bytes(up(len(body), 4096) - len(body))
    return seal_part(body, table)


def sections_of(data):
    """The section table of a sound part file."""
    body_len, _, block_count, count = struct.unpack_from("<QQII", data, len(data) - 64)
    at = body_len + up(4 * block_count, 8)
    return body_len, [struct.unpack_from("<4sIQQ", data, at + 24 * n) for n in range(count)]


def contents_of(data):
    """Kind and sections of a sound part file, as `part` takes them."""
    kind = PART_KINDS[struct.unpack_from("<I", data, 12)[0]]
    return kind, [(tag.decode(), data[at : at + length]) for tag, _, at, length in sections_of(data)[1]]


def wal(records, length=2048, number=12, file_id=0x1122334455667788, previous=(11, 2571), tail=b"", collection=COLLECTION):
    """A WAL file; `records` are dicts of header fields, `tail` is laid over what follows the last one."""
    data = bytearray(wal_header(length, number, file_id, previous, collection))
    for each in records:
        data += record(len(data), file_id, **each)
    data += tail
    return bytes(data + bytes(length - len(data)))


def wal_header(length, number, file_id, previous, collection, required=0, version=1):
    head = struct.pack("<8sII4Q16sIIQQQ28s", b"CAIRNWAL", version, 0, required, 0, number, file_id, collection, 3, 0,
                       *previous, length, bytes(28))
    return head + struct.pack("<I", crc32(0, head))


def record(at, file_id, kind=1, first=1, last=None, body=None, flags=0, synced=128, epoch=1, schema=1, zero=bytes(6),
           length=None, pad=0):
    last = first if last is None else last
    body = deletes(last - first + 1) if body is None and kind == 1 else body or b""
    seed = place_seed(file_id, at)
    head = struct.pack("<IQQQQIIBB6s", crc32(seed, body), first, last, min(synced, at), schema,
                       len(body) if length is None else length, epoch, kind, flags, zero)
    return struct.pack("<I", crc32(seed, head)) + head + body + bytes([pad]) * (-len(body) % 8)


def operation(kind, form, n, tables, rest, length=None):
    rest += bytes(-len(rest) % 8)
    return struct.pack("<BBHIII", kind, form, 0, n, tables, 16 + len(rest) if length is None else length) + rest


def deletes(count):
    return ops(*[operation(2, 1, 1, 0, struct.pack("<Q", 5)) for _ in range(count)])


def ops(*operations):
    return struct.pack("<II", len(operations), 0) + b"".join(operations)
