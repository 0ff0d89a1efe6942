//! One golden file: how to make it, read it, name its bytes and damage it.

#![expect(clippy::disallowed_methods, reason = "the golden files are real files")]

use std::fmt::Write as _;
use std::path::PathBuf;

/// What damage to a file must lead to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Damage {
    /// An error, for each flipped bit: everything is covered by a checksum or checked to be zero.
    Error,
    /// An error, or a value that encodes to exactly the damaged bytes: bytes that have no checksum
    /// of their own, because what holds them has. Only a strict prefix is still always an error.
    Canonical,
}

/// One row of a table of cases.
pub(crate) struct Case {
    /// File name under `v1/`, without extension.
    pub(crate) name: &'static str,
    /// What its encoder writes.
    pub(crate) build: fn() -> Vec<u8>,
    /// Decodes, checking everything, and encodes again.
    pub(crate) reencode: fn(&[u8]) -> Result<Vec<u8>, String>,
    /// Lengths and names of the stretches of the bytes, from the front, for the dump.
    pub(crate) fields: fn(&[u8]) -> Vec<(usize, String)>,
    /// What damage must lead to.
    pub(crate) damage: Damage,
}

fn dir() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests", "golden", "v1"]
        .iter()
        .collect()
}

impl Case {
    fn path(&self, extension: &str) -> PathBuf {
        dir().join(format!("{}.{extension}", self.name))
    }

    /// Writes the file and its dump.
    pub(crate) fn bless(&self, bytes: &[u8], dump: &str) {
        std::fs::create_dir_all(dir()).unwrap();
        std::fs::write(self.path("bin"), bytes).unwrap();
        std::fs::write(self.path("txt"), dump).unwrap();
    }

    /// The kept bytes.
    pub(crate) fn read_bytes(&self) -> Vec<u8> {
        std::fs::read(self.path("bin")).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// The kept dump.
    pub(crate) fn read_dump(&self) -> String {
        String::from_utf8(std::fs::read(self.path("txt")).unwrap()).unwrap()
    }

    /// Names of all kept files.
    pub(crate) fn kept_names() -> Vec<String> {
        let entries = std::fs::read_dir(dir()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names
            .filter_map(|name| Some(name.strip_suffix(".bin")?.to_owned()))
            .collect();
        names.sort();
        names
    }
}

/// The annotated dump: one line a stretch, long ones cut in the middle.
pub(crate) fn annotate(bytes: &[u8], fields: &[(usize, String)]) -> String {
    const SHOWN: usize = 32;
    let mut out = String::new();
    let mut at = 0;
    for (len, name) in fields {
        let field = bytes
            .get(at..at + len)
            .unwrap_or_else(|| panic!("{name} is past the end"));
        let mut hex = String::new();
        for byte in field.iter().take(SHOWN) {
            write!(hex, "{byte:02x}").unwrap();
        }
        if field.len() > SHOWN {
            write!(hex, ".. {} bytes", field.len()).unwrap();
        }
        writeln!(out, "{at:06x}  {hex}  {name}").unwrap();
        at += len;
    }
    assert_eq!(at, bytes.len(), "the dump names every byte");
    out
}

/// Every strict prefix must be refused. Returns how many there were.
pub(crate) fn check_truncations(case: &Case, bytes: &[u8]) -> usize {
    for end in 0..bytes.len() {
        let decoded = (case.reencode)(&bytes[..end]);
        assert!(
            decoded.is_err(),
            "{}: decodes when cut to {end} bytes",
            case.name
        );
    }
    bytes.len()
}

/// Every flip must be seen. Returns how many there were.
pub(crate) fn check_flips(case: &Case, bytes: &[u8]) -> usize {
    let mut damaged = bytes.to_vec();
    for bit in 0..bytes.len() * 8 {
        let (at, mask) = (bit / 8, 1 << (bit % 8));
        damaged[at] ^= mask;
        if let Ok(again) = (case.reencode)(&damaged) {
            let canonical = case.damage == Damage::Canonical && again == damaged;
            assert!(
                canonical,
                "{}: bit {} of byte {at} is not seen",
                case.name,
                bit % 8
            );
        }
        damaged[at] ^= mask;
    }
    bytes.len() * 8
}
