//! A full disk: growth is refused before anything is logged.

use super::*;

#[test]
fn a_full_disk_refuses_before_anything_is_logged_and_deletes_go_on() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(20 << 10));
    let settings = WalSettings {
        soft_free_bytes: 8 << 10,
        hysteresis_bytes: 2 << 10,
        ..settings(1)
    };
    let wal = Wal::create(Arc::new(disk.clone()), DIR, ME, settings, 1, SeqNo(0)).unwrap();
    wal.idle_marker().unwrap();
    let mut seqno = 0;
    let refused = loop {
        if let Err(error) = wal.reserve_for(1000, WriteClass::Growing) {
            break error;
        }
        seqno += 1;
        write(&wal, seqno, 1000).unwrap();
        assert!(seqno < 50);
    };
    assert_eq!(refused.kind(), ErrorKind::DiskFull);
    assert!(wal.poison_reason().is_none());
    // Deletes use what is left, the spare last, and then are refused as well, unlogged.
    let mut deletes = 0;
    let full = loop {
        if let Err(error) = wal.reserve_for(1000, WriteClass::Shrinking) {
            break error;
        }
        seqno += 1;
        deletes += 1;
        write(&wal, seqno, 1000).unwrap();
        assert!(deletes < 50);
    };
    assert!(deletes > 3, "only {deletes} deletes");
    assert_eq!(full.kind(), ErrorKind::DiskFull);
    // The estimate is careful; the append itself counts exactly.
    let full = loop {
        match append(&wal, seqno + 1, 1000) {
            Ok(ticket) => wal.wait(ticket).unwrap(),
            Err(error) => break error,
        };
        seqno += 1;
        assert!(seqno < 100);
    };
    assert_eq!(full.kind(), ErrorKind::DiskFull);
    assert!(wal.poison_reason().is_none());
    // Space comes back, and with it the writes.
    wal.retire_below(SeqNo(seqno)).unwrap();
    disk.set_capacity(Some(1 << 20));
    wal.reserve_for(1000, WriteClass::Growing).unwrap();
    write(&wal, seqno + 1, 1000).unwrap();
}

#[test]
fn refused_growth_needs_more_than_the_threshold_to_resume() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(64 << 10));
    let settings = WalSettings {
        soft_free_bytes: 32 << 10,
        hysteresis_bytes: 16 << 10,
        ..settings(1)
    };
    let wal = Wal::create(Arc::new(disk.clone()), DIR, ME, settings, 1, SeqNo(0)).unwrap();
    let taken = |bytes: u64| {
        disk.set_capacity(Some(bytes));
        wal.reserve_for(10, WriteClass::Growing).is_ok()
    };
    let used = 4 << 10;
    assert!(taken(used + (40 << 10)));
    assert!(!taken(used + (31 << 10)));
    assert!(
        !taken(used + (40 << 10)),
        "between the thresholds it stays as it was"
    );
    assert!(taken(used + (48 << 10)));
}

#[test]
fn an_allocation_that_fails_leaves_the_log_as_it_was() {
    for kind in [
        OpKind::Create,
        OpKind::Allocate,
        OpKind::Sync,
        OpKind::SyncDir,
    ] {
        let disk = SimDisk::new();
        let wal = create(&disk).unwrap();
        write(&wal, 1, 3000).unwrap();
        disk.inject(Fault::once(kind, 0).with_error(FaultError::NoSpace));
        let refused = append(&wal, 2, 3000).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::DiskFull, "{kind:?}");
        assert!(wal.poison_reason().is_none(), "{kind:?}");
        write(&wal, 2, 3000).unwrap();
        let (records, _) = read(&disk.crash(&CrashChoice::nothing()), 0).unwrap();
        assert_eq!(records.len(), 2, "{kind:?}");
    }
}

#[test]
fn a_spare_that_cannot_grow_is_used_as_it_is_or_made_anew() {
    for sticky in [false, true] {
        for kind in [OpKind::Allocate, OpKind::Sync] {
            let disk = SimDisk::new();
            let wal = create(&disk).unwrap();
            wal.idle_marker().unwrap();
            let fault = Fault::once(kind, 0).with_error(FaultError::NoSpace);
            disk.inject(if sticky { fault.sticky() } else { fault });
            let refused = append(&wal, 1, 9000).unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::DiskFull);
            disk.clear_faults();
            write(&wal, 1, 3000).unwrap();
            write(&wal, 2, 3000).unwrap();
            write(&wal, 3, 9000).unwrap();
            drop(wal);
            assert_eq!(disk.files().len(), 3);
            let (records, _) = read(&disk.crash(&CrashChoice::nothing()), 0).unwrap();
            assert_eq!(records.len(), 3);
        }
    }
}

#[test]
fn a_run_is_taken_whole_or_not_at_all() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(12 << 10));
    let wal = create(&disk).unwrap();
    assert_eq!(
        append_run(&wal, 1, 4, 3000).unwrap_err().kind(),
        ErrorKind::DiskFull
    );
    let body = body(1, 10);
    let open = WalRecord {
        in_run: true,
        commits: false,
        ..record(&body, 1, 1)
    };
    let alone = record(&body, 2, 2);
    for broken in [&[open][..], &[open, alone]] {
        assert_eq!(
            wal.append_all(broken).unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
    write(&wal, 1, 10).unwrap();
    assert_eq!(read(&disk, 0).unwrap().0.len(), 1);
}

#[test]
fn a_full_disk_can_be_opened() {
    let disk = SimDisk::new();
    let big = WalSettings {
        file_bytes: 1 << 20,
        ..settings(1)
    };
    let wal = Wal::create(Arc::new(disk.clone()), DIR, ME, big, 1, SeqNo(0)).unwrap();
    write(&wal, 1, 10).unwrap();
    drop(wal);
    disk.set_capacity(Some((1 << 20) + (100 << 10)));
    let (_, end) = read(&disk, 0).unwrap();
    let wal = Wal::open(Arc::new(disk.clone()), DIR, ME, big, end).unwrap();
    write(&wal, 2, 10).unwrap();
    assert_eq!(read(&disk, 0).unwrap().0.len(), 2);
}
