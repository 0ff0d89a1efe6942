/// Scans the bytes as a file, and as records with correct checksums behind a correct header.
pub(crate) fn body(data: &[u8]) {
    use format_spec::checksum;
    use format_spec::wal::{
        BodyChecksum, FILE_HEADER_LEN, FileHeader, RecordHeader, ScanOutcome, WalIdentity,
        WalScanner, is_void, record_len,
    };
    use format_spec::{CollectionId, ShardId};

    fn scan(bytes: &[u8], identity: &WalIdentity) {
        let Ok(mut scanner) = WalScanner::new(bytes, identity) else { return };
        let mut end = FILE_HEADER_LEN as u64;
        for record in scanner.by_ref() {
            assert!(record.offset >= end && record.end() <= bytes.len() as u64);
            end = record.end();
            let _ = record.ops();
        }
        let most = bytes.len() as u64;
        match scanner.finish() {
            ScanOutcome::CleanEnd { .. } => {}
            ScanOutcome::TornTail { at } | ScanOutcome::Unsupported { at, .. } => {
                assert!(at >= end && at <= most);
            }
            ScanOutcome::Corrupt { at, proof_at, .. } => assert!(at <= most && proof_at < most),
        }
    }

    let _ = is_void(data);
    if let Ok(header) = FileHeader::decode(data) {
        scan(data, &header.identity);
    }
    let (collection, shard) = (CollectionId(1), ShardId(1));
    let identity = WalIdentity { number: 1, collection, shard };
    let header = |file_len| FileHeader {
        identity,
        file_id: 1,
        previous_number: 0,
        previous_file_id: 0,
        file_len,
    };
    // Each stretch: how long the body is, kind, flags, first and last seqno, how much was synced.
    let mut file = header(0).encode();
    let mut rest = data;
    while let Some(([len, kind, flags, first, last, back], tail)) = rest.split_first_chunk::<6>() {
        let (body, tail) = tail.split_at(usize::from(*len).min(tail.len()));
        rest = tail;
        let offset = file.len() as u64;
        let record = RecordHeader {
            seq_first: u64::from(*first),
            seq_last: u64::from(*last),
            synced_upto: offset.saturating_sub(8 * u64::from(*back)),
            kind: *kind,
            flags: *flags,
            ..RecordHeader::default()
        };
        let crc = BodyChecksum::of(body).unwrap_or_else(|error| panic!("a short body: {error}"));
        file.extend_from_slice(&record.encode(1, offset, crc));
        file.extend_from_slice(body);
        let end = offset + record_len(crc.body_len());
        file.resize(usize::try_from(end).unwrap_or(file.len()), 0);
    }
    file.extend_from_slice(rest);
    let head = header(file.len() as u64).encode();
    file.splice(..FILE_HEADER_LEN, head);
    scan(&file, &identity);
    assert_ne!(checksum::seed(&[1, 0]), 0);
}
