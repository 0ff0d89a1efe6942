/// Decodes the bytes as a file, and as the body of a file with correct checksums.
pub(crate) fn body(data: &[u8]) {
    use format_spec::{Catalog, checksum};

    fn decode(bytes: &[u8]) {
        if let Ok(found) = Catalog::decode(bytes, 1) {
            let again = found.encode();
            // A threshold that is no number differs from itself, but not in its bytes.
            let same = Catalog::decode(&again, 1).map(|catalog| catalog.encode());
            assert_eq!(same.as_deref(), Ok(again.as_slice()));
        }
    }

    decode(data);
    let mut file = Vec::from(*b"CAIRNCAT");
    file.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&1_u64.to_le_bytes());
    file.extend_from_slice(&[0; 24]);
    file.extend_from_slice(&(data.len() as u64).to_le_bytes());
    file.extend_from_slice(&checksum::sha256(data));
    file.extend_from_slice(&[0; 4]);
    file.extend_from_slice(&checksum::crc32(0, &file).to_le_bytes());
    file.extend_from_slice(data);
    file.extend_from_slice(&checksum::crc32(0, &file).to_le_bytes());
    decode(&file);
}
