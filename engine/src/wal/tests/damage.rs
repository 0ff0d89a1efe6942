//! Damage: found, and told apart from a tail that a crash cut.

use super::*;

#[test]
fn every_flipped_bit_is_harmless_or_an_error() {
    let disk = SimDisk::new();
    let mut wal = create(&disk).unwrap();
    let mut progress = Progress::default();
    let script = [
        Step::Write(40),
        Step::Append(100),
        Step::Append(7),
        Step::Wait,
        Step::Rotate,
        Step::Write(65),
        Step::Idle,
        Step::Write(33),
        Step::Close,
    ];
    for step in script {
        progress.step(&disk, &mut wal, step).unwrap();
    }
    drop(wal);
    let disk = disk.crash(&CrashChoice::nothing());
    let (mut errors, mut harmless) = (0, 0);
    for path in disk.files() {
        let bytes = disk.bytes(&path).unwrap();
        let used = bytes
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(200, |last| last + 200);
        for byte in 0..used.min(bytes.len()) as u64 {
            for bit in 0..8 {
                let damaged = disk.kill();
                damaged.flip_bit(&path, byte, bit).unwrap();
                match read(&damaged, 0) {
                    Ok((records, _)) => {
                        assert_eq!(records.len(), 5, "{path} byte {byte} bit {bit}: lost");
                        harmless += 1;
                    }
                    Err(error) => {
                        let kind = error.kind();
                        assert!(matches!(kind, ErrorKind::Corrupt), "{error:?}");
                        errors += 1;
                    }
                }
            }
        }
    }
    // Harmless: the spare, the closing marker, and zeros behind it.
    assert!(errors > 4_000, "{errors} errors, {harmless} harmless");
}

#[test]
fn damage_names_file_offset_and_seqnos() {
    let disk = SimDisk::new();
    let wal = create(&disk).unwrap();
    for seqno in 1..=3 {
        write(&wal, seqno, 100).unwrap();
    }
    wal.close().unwrap();
    // The second record: header 128, marker 56, one record of 56 + 104.
    disk.flip_bit("wal/000001.wal", 128 + 56 + 160 + 70, 1)
        .unwrap();
    let error = read(&disk, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(error.path(), Some("wal/000001.wal"));
    assert!(error.message().contains("byte 344"), "{error}");
    assert!(error.message().contains("seqnos 2 to 2"), "{error}");
}

#[test]
fn missing_swapped_and_cut_files_are_noticed() {
    let disk = SimDisk::new();
    let wal = create(&disk).unwrap();
    for seqno in 1..=9 {
        write(&wal, seqno, 1500).unwrap();
    }
    wal.close().unwrap();
    let files = disk.files();
    assert!(files.len() >= 4, "{files:?}");
    let corrupt = |disk: &SimDisk, what: &str| {
        let error = read(disk, 0).map(|(records, _)| records.len()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{what}: {error:?}");
    };
    for (at, path) in files.iter().enumerate() {
        let newest = at + 1 == files.len();
        let missing = disk.kill();
        missing.remove_file(path).unwrap();
        if newest {
            // Nothing but the file itself says that it was there, if the one before was not
            // sealed; here it was.
            assert_eq!(read(&missing, 0).unwrap_err().kind(), ErrorKind::Corrupt);
        } else {
            corrupt(&missing, "missing");
        }
        for len in [0, 100, 128, 184, 1000, 4095] {
            let cut = disk.kill();
            cut.damage(path, |bytes| bytes.truncate(len)).unwrap();
            corrupt(&cut, &format!("{path} cut at {len}"));
        }
        for other in &files[at + 1..] {
            let swapped = disk.kill();
            let (a, b) = (disk.bytes(path).unwrap(), disk.bytes(other).unwrap());
            swapped.damage(path, |bytes| *bytes = b).unwrap();
            swapped.damage(other, |bytes| *bytes = a).unwrap();
            corrupt(&swapped, "swapped");
        }
        for start in (0..4096).step_by(512).filter(|_| !newest) {
            let zeroed = disk.kill();
            zeroed
                .damage(path, |bytes| bytes[start..start + 512].fill(0))
                .unwrap();
            if disk.bytes(path).unwrap()[start..start + 512]
                .iter()
                .any(|&byte| byte != 0)
            {
                corrupt(&zeroed, &format!("{path} zeroed at {start}"));
            }
        }
    }
}

#[test]
fn an_old_copy_of_a_file_is_not_taken_for_the_file() {
    let build = |seed: u64| {
        let disk = SimDisk::new();
        let wal = Wal::create(Arc::new(disk.clone()), DIR, ME, settings(seed), 1, SeqNo(0));
        let wal = wal.unwrap();
        for seqno in 1..=6 {
            write(&wal, seqno, 1500).unwrap();
        }
        disk
    };
    // The same records, the same numbers, another life of the directory.
    let (ours, theirs) = (build(1), build(2));
    for path in ours.files() {
        let mixed = ours.kill();
        let bytes = theirs.bytes(&path).unwrap();
        mixed.damage(&path, |old| *old = bytes).unwrap();
        let error = read(&mixed, 0).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{path}: {error:?}");
    }
}

#[test]
fn foreign_names_in_the_folder_are_left_alone() {
    let disk = SimDisk::new();
    let wal = create(&disk).unwrap();
    write(&wal, 1, 10).unwrap();
    drop(wal);
    for name in [
        "wal/000001.wal.bak",
        "wal/.swp",
        "wal/1.wal",
        "wal/lost+found",
    ] {
        disk.create(name).unwrap();
    }
    disk.create_dir("wal/000009.wal").unwrap();
    let (records, end) = read(&disk, 0).unwrap();
    assert_eq!(records.len(), 1);
    open(&disk, end, 2).unwrap();
    assert!(disk.files().contains(&"wal/000001.wal.bak".to_owned()));
}

#[test]
fn the_log_of_another_shard_is_refused() {
    let disk = SimDisk::new();
    write(&create(&disk).unwrap(), 1, 10).unwrap();
    let other = WalIdentity {
        shard: ShardId(4),
        ..ME
    };
    let outcome = replay(&disk, DIR, &other, SeqNo(0), &mut |_| Ok(()));
    assert_eq!(outcome.unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn records_that_break_the_order_are_refused() {
    let wal = create(&SimDisk::new()).unwrap();
    let body = body(1, 4);
    for (first, last) in [(2, 2), (0, 1), (1, 0)] {
        let error = wal.append(&record(&body, first, last)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{first} to {last}");
    }
    wal.append(&record(&body, 1, 5)).unwrap();
    assert_eq!(wal.wait_upto(SeqNo(4)).unwrap().seqno(), SeqNo(5));
    assert_eq!(
        wal.wait_upto(SeqNo(6)).unwrap_err().kind(),
        ErrorKind::Invalid
    );
}
