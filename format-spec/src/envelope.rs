//! The frame that a shard manifest and a catalog file share: header, postcard body, final CRC.
//!
//! Chapter 4 has the layout. The frame is checked whole before a byte of the body is decoded.
//!
//! # Invariants
//! - Every bit of the file is covered by the final CRC; the header by a CRC of its own and the body
//!   by a SHA-256 as well, so that an error says which of the two is damaged.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::bytes::{Reader, put_u32, put_u64};
use crate::checksum::{crc32, sha256};
use crate::error::{DecodeError, Why};
use crate::ids::uuid_bytes;

/// Bytes before the body.
pub const HEADER_LEN: usize = 112;
/// Bytes after the body.
pub const FOOTER_LEN: usize = 4;
/// Format version written, and newest one read.
pub const VERSION: u32 = 1;
/// Required features known to this code.
pub const FEATURES: u64 = 0;
/// Version byte in front of the postcard struct.
pub const BODY_VERSION: u8 = 1;

const CRC_AT: usize = HEADER_LEN - 4;
const _: () = assert!(HEADER_LEN.is_multiple_of(8) && CRC_AT == 108);

/// What a file says it is, checked against what its place says it must be.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// First eight bytes.
    pub magic: [u8; 8],
    /// Number in the file name.
    pub number: u64,
    /// Collection; 0 in a catalog file.
    pub collection: u128,
    /// Shard; 0 in a catalog file.
    pub shard: u32,
}

/// The whole file of `body`.
pub(crate) fn seal<T: Serialize>(identity: &Identity, body: &T) -> Vec<u8> {
    let body = encode_body(body);
    let mut out = Vec::with_capacity(HEADER_LEN + body.len() + FOOTER_LEN);
    out.extend_from_slice(&identity.magic);
    put_u32(&mut out, VERSION);
    put_u32(&mut out, 0);
    put_u64(&mut out, FEATURES);
    put_u64(&mut out, 0);
    put_u64(&mut out, identity.number);
    out.extend_from_slice(&uuid_bytes(identity.collection));
    put_u32(&mut out, identity.shard);
    put_u32(&mut out, 0);
    put_u64(&mut out, body.len() as u64);
    out.extend_from_slice(&sha256(&body));
    put_u32(&mut out, 0);
    let crc = crc32(0, &out);
    put_u32(&mut out, crc);
    out.extend_from_slice(&body);
    let crc = crc32(0, &out);
    put_u32(&mut out, crc);
    out
}

/// Checks the whole file and decodes its body.
pub(crate) fn open<T: DeserializeOwned>(expect: &Identity, bytes: &[u8]) -> Result<T, DecodeError> {
    let (body_len, hash) = check_header(expect, bytes)?;
    let mut reader = Reader::new(bytes);
    reader.take(HEADER_LEN, "header")?;
    let body = reader.take_u64(body_len, "body")?;
    let covered = reader.at();
    let at = reader.at();
    let stored = reader.u32("file crc")?;
    reader.finish("file")?;
    let covered = usize::try_from(covered)
        .ok()
        .and_then(|len| bytes.get(..len))
        .unwrap_or(bytes);
    let computed = crc32(0, covered);
    if stored != computed {
        return Err(DecodeError::new(
            at,
            "file crc",
            Why::Checksum { stored, computed },
        ));
    }
    if sha256(body) != hash {
        return Err(DecodeError::new(HEADER_LEN as u64, "body hash", Why::Hash));
    }
    decode_body(body).map_err(|error| error.shifted(HEADER_LEN as u64))
}

fn check_header(expect: &Identity, bytes: &[u8]) -> Result<(u64, [u8; 32]), DecodeError> {
    let mut reader = Reader::new(bytes);
    let header = Reader::new(bytes).take(HEADER_LEN, "header")?;
    let magic: [u8; 8] = reader.array("magic")?;
    if magic != expect.magic {
        return Err(DecodeError::new(0, "magic", Why::Magic));
    }
    let (covered, crc) = header.split_at_checked(CRC_AT).unwrap_or((header, &[]));
    let stored = Reader::new(crc).u32("header crc")?;
    let computed = crc32(0, covered);
    if stored != computed {
        let why = Why::Checksum { stored, computed };
        return Err(DecodeError::new(CRC_AT as u64, "header crc", why));
    }
    let at = reader.at();
    let version = reader.u32("format version")?;
    if version != VERSION {
        let why = Why::Version {
            found: version,
            newest: VERSION,
        };
        return Err(DecodeError::new(at, "format version", why));
    }
    reader.zeros(4, "reserved")?;
    let at = reader.at();
    let unknown = reader.u64("required features")? & !FEATURES;
    if unknown != 0 {
        return Err(DecodeError::new(
            at,
            "required features",
            Why::Feature { bits: unknown },
        ));
    }
    // Optional features may be ignored: that is what makes them optional.
    reader.u64("optional features")?;
    check_identity(expect, &mut reader)?;
    reader.zeros(4, "reserved")?;
    let body_len = reader.u64("body length")?;
    let hash = reader.array("body hash")?;
    reader.zeros(4, "reserved")?;
    Ok((body_len, hash))
}

fn check_identity(expect: &Identity, reader: &mut Reader<'_>) -> Result<(), DecodeError> {
    let at = reader.at();
    if reader.u64("number")? != expect.number {
        return Err(DecodeError::new(at, "number", Why::Identity));
    }
    let at = reader.at();
    if reader.array("collection")? != uuid_bytes(expect.collection) {
        return Err(DecodeError::new(at, "collection", Why::Identity));
    }
    let at = reader.at();
    if reader.u32("shard")? != expect.shard {
        return Err(DecodeError::new(at, "shard", Why::Identity));
    }
    Ok(())
}

fn encode_body<T: Serialize>(body: &T) -> Vec<u8> {
    #[expect(
        clippy::expect_used,
        reason = "the structs have no map or unsized sequence to refuse"
    )]
    postcard::to_extend(body, vec![BODY_VERSION]).expect("plain structs always serialize")
}

fn decode_body<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, DecodeError> {
    let Some((&version, body)) = bytes.split_first() else {
        return Err(DecodeError::new(
            0,
            "body version",
            Why::Truncated { need: 1, have: 0 },
        ));
    };
    if version != BODY_VERSION {
        let why = Why::Version {
            found: version.into(),
            newest: BODY_VERSION.into(),
        };
        return Err(DecodeError::new(0, "body version", why));
    }
    let (value, rest) =
        postcard::take_from_bytes(body).map_err(|_| DecodeError::new(1, "body", Why::Postcard))?;
    if !rest.is_empty() {
        let at = (bytes.len() - rest.len()) as u64;
        return Err(DecodeError::new(
            at,
            "body",
            Why::Trailing {
                bytes: rest.len() as u64,
            },
        ));
    }
    Ok(value)
}
