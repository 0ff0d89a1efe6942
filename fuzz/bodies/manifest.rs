/// Decodes the bytes as a file, and as the body of a file with correct checksums.
pub(crate) fn body(data: &[u8]) {
    use format_spec::{CollectionId, ShardId, ShardManifest, checksum};

    fn decode(bytes: &[u8]) {
        let (number, shard) = (1, ShardId(1));
        if let Ok(found) = ShardManifest::decode(bytes, number, CollectionId(1), shard) {
            let again = found.encode();
            let same = ShardManifest::decode(&again, number, CollectionId(1), shard);
            assert_eq!(same.as_ref(), Ok(&found));
        }
    }

    decode(data);
    let mut file = Vec::from(*b"CAIRNMAN");
    file.extend_from_slice(&[1, 0, 0, 0, 0, 0, 0, 0]);
    file.extend_from_slice(&[0; 16]);
    file.extend_from_slice(&1_u64.to_le_bytes());
    file.extend_from_slice(&[0; 15]);
    file.extend_from_slice(&[1, 1, 0, 0, 0, 0, 0, 0, 0]);
    file.extend_from_slice(&(data.len() as u64).to_le_bytes());
    file.extend_from_slice(&checksum::sha256(data));
    file.extend_from_slice(&[0; 4]);
    file.extend_from_slice(&checksum::crc32(0, &file).to_le_bytes());
    file.extend_from_slice(data);
    file.extend_from_slice(&checksum::crc32(0, &file).to_le_bytes());
    decode(&file);
}
