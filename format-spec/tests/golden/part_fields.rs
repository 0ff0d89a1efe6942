//! Names for every byte of a part file, for its annotated dump.

use format_spec::container::tag;
use format_spec::{PartKind, PartLayout};

type Names = &'static [(usize, &'static str)];

const HEADER: Names = &[
    (8, "header: magic"),
    (4, "container_version"),
    (4, "kind"),
    (4, "format_version"),
    (4, "block_len"),
    (8, "features_required"),
    (8, "features_optional"),
    (8, "part_id"),
    (16, "collection"),
    (4, "shard"),
    (4, "flags"),
    (32, "source_hash"),
    (20, "zero"),
    (4, "header_crc"),
];

const FOOTER: Names = &[
    (8, "footer: body_len"),
    (8, "file_len"),
    (4, "block_count"),
    (4, "section_count"),
    (8, "part_id"),
    (4, "kind"),
    (4, "container_version"),
    (4, "header_crc"),
    (4, "tables_crc"),
    (4, "zero"),
    (4, "footer_crc"),
    (8, "magic"),
];

const CODES_META: Names = &[
    (4, "rows"),
    (4, "dim"),
    (4, "bits"),
    (4, "measure"),
    (8, "seed"),
    (40, "zero"),
];

const ROWS_META: Names = &[
    (4, "rows"),
    (4, "numbers"),
    (4, "flags"),
    (4, "filter_blocks"),
    (8, "seqno_min"),
    (8, "seqno_max"),
    (32, "zero"),
];

const STATISTICS_META: Names = &[
    (4, "rows"),
    (4, "zones"),
    (4, "fields"),
    (4, "numeric"),
    (4, "flags"),
    (4, "zero"),
    (8, "exact_for"),
    (32, "zero"),
];

const PRODUCT_META: Names = &[
    (4, "rows"),
    (4, "dim"),
    (4, "width"),
    (4, "count"),
    (4, "present"),
    (4, "zero"),
    (8, "seed"),
    (32, "zero"),
];

fn meta(kind: PartKind) -> Names {
    match kind {
        PartKind::Rows => ROWS_META,
        PartKind::Vectors => &[
            (4, "rows"),
            (4, "dim"),
            (4, "element"),
            (4, "metric"),
            (8, "stride"),
            (4, "present"),
            (36, "zero"),
        ],
        PartKind::Graph => &[
            (4, "rows"),
            (4, "nodes"),
            (4, "m"),
            (4, "m0"),
            (4, "ef_construct"),
            (4, "entry"),
            (4, "max_level"),
            (4, "upper"),
            (4, "lists"),
            (4, "neighbours"),
            (8, "seed"),
            (16, "zero"),
        ],
        PartKind::Payload => &[
            (4, "rows"),
            (4, "payload_blocks"),
            (8, "exact_for"),
            (8, "raw_bytes"),
            (40, "zero"),
        ],
        PartKind::Column => &[
            (4, "type"),
            (4, "rows"),
            (8, "exact_for"),
            (8, "values"),
            (8, "distinct"),
            (4, "rows_with_value"),
            (4, "rows_with_null"),
            (4, "rows_indexed"),
            (4, "flags"),
            (8, "min"),
            (8, "max"),
            (8, "settings"),
            (24, "zero"),
        ],
        PartKind::Tombstones => &[(4, "rows"), (4, "dead"), (8, "exact_for"), (48, "zero")],
        PartKind::Patch => &[
            (4, "rows"),
            (4, "patched"),
            (4, "payload_blocks"),
            (4, "zero"),
            (8, "raw_bytes"),
            (8, "exact_for"),
            (8, "seqno_min"),
            (8, "seqno_max"),
            (16, "zero"),
        ],
        PartKind::Codes => CODES_META,
        PartKind::Product => PRODUCT_META,
        PartKind::Statistics => STATISTICS_META,
        PartKind::Sparse => &[],
    }
}

/// Width of a record of a section; sections without records are one stretch.
fn record(section: u32) -> Option<usize> {
    let tags: [(&[u8; 4], usize); 13] = [
        (b"NUMS", 8),
        (b"UUID", 16),
        (b"RANK", 4),
        (b"ROWS", 4),
        (b"SEQN", 8),
        (b"FILT", 32),
        (b"UROW", 4),
        (b"ULST", 4),
        (b"UOFF", 4),
        (b"INDX", 16),
        (b"POFF", 8),
        (b"TOFF", 8),
        (b"PNOF", 8),
    ];
    let found = tags.iter().find(|(name, _)| tag(name) == section);
    found.map(|&(_, width)| width)
}

/// The stretches of a part, from the front.
pub(crate) fn part_fields(kind: PartKind, layout: &PartLayout) -> Vec<(usize, String)> {
    let mut fields: Vec<(usize, String)> = Vec::new();
    let mut at = 0;
    let mut put = |len: usize, name: String| {
        if len > 0 {
            fields.push((len, name));
            at += len;
        }
        at
    };
    for &(len, name) in HEADER {
        put(len, name.into());
    }
    let block_table = 4 * layout.block_count() as usize;
    let sections = layout.sections().count();
    let tables = block_table.next_multiple_of(8) + 24 * sections;
    let body_len = layout.len() as usize - tables - 64;
    for (section, range) in layout.sections() {
        let name = String::from_utf8_lossy(&section.to_le_bytes()).into_owned();
        let start = put(0, String::new());
        put(range.start as usize - start, "padding".into());
        let len = (range.end - range.start) as usize;
        if section == tag(b"META") {
            for &(len, field) in meta(kind) {
                put(len, format!("META: {field}"));
            }
        } else if let Some(width) = record(section) {
            for n in 0..len / width {
                put(width, format!("{name}[{n}]"));
            }
        } else {
            put(len, name);
        }
    }
    let start = put(0, String::new());
    put(body_len - start, "padding".into());
    for n in 0..layout.block_count() {
        put(4, format!("block table: crc of block {n}"));
    }
    put(block_table.next_multiple_of(8) - block_table, "zero".into());
    for (section, _) in layout.sections() {
        let name = String::from_utf8_lossy(&section.to_le_bytes()).into_owned();
        for (len, field) in [(4, "tag"), (4, "zero"), (8, "offset"), (8, "len")] {
            put(len, format!("section table: {name} {field}"));
        }
    }
    for &(len, name) in FOOTER {
        put(len, name.into());
    }
    fields
}
