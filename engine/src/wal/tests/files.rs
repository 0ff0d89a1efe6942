//! Files of the log: how runs lie in them, their numbers, and when they go.

use super::*;

#[test]
fn a_run_that_was_cut_is_void_and_its_seqnos_are_used_again() {
    let disk = SimDisk::new();
    let wal = create(&disk).unwrap();
    // The first record ends at a sector, and each of the run is one sector.
    write(&wal, 1, 272).unwrap();
    disk.stop_after(disk.operations() + 1);
    let ticket = append_run(&wal, 2, 3, 456).unwrap();
    wal.wait(ticket).unwrap_err();
    assert_eq!(disk.pending().len(), 3);
    for (kept, torn) in [(2, None), (3, Some((2, 300))), (1, None), (0, None)] {
        let keep = (0..3).map(|unit| unit < kept).collect();
        let disk = disk.crash(&CrashChoice {
            keep,
            torn,
            length: None,
        });
        for seed in 2..5 {
            let (records, end) = read(&disk, 0).unwrap();
            assert_eq!((records.len(), end.last), (1, SeqNo(1)));
            assert_eq!(end.torn.is_some(), torn.is_some() && seed == 2);
            drop(open(&disk, end, seed).unwrap());
        }
        let (_, end) = read(&disk, 0).unwrap();
        let wal = open(&disk, end, 9).unwrap();
        write(&wal, 2, 77).unwrap();
        let (records, end) = read(&disk.crash(&CrashChoice::nothing()), 0).unwrap();
        assert_eq!((records.len(), end.last), (2, SeqNo(2)));
        assert_eq!(records[1].2, *body(2, 77));
    }
}

#[test]
fn a_run_is_in_one_file_however_long() {
    let disk = SimDisk::new();
    let wal = create(&disk).unwrap();
    write(&wal, 1, 3000).unwrap();
    wal.idle_marker().unwrap();
    let ticket = append_run(&wal, 2, 7, 3000).unwrap();
    wal.wait(ticket).unwrap();
    wal.close().unwrap();
    let mut files = std::collections::BTreeSet::new();
    replay(&disk, DIR, &ME, SeqNo(1), &mut |record| {
        assert!(record.in_run && record.commits == (record.seq_last == SeqNo(8)));
        files.insert(record.file);
        Ok(())
    })
    .unwrap();
    assert_eq!(files.into_iter().collect::<Vec<u64>>(), [2]);
    assert_eq!(
        disk.files(),
        ["wal/000001.wal", "wal/000002.wal"],
        "the spare has grown"
    );
}

#[test]
fn files_are_numbered_without_gaps() {
    let disk = SimDisk::new();
    let mut wal = create(&disk).unwrap();
    let mut progress = Progress::default();
    for (at, step) in drawn_script(3, 60).into_iter().enumerate() {
        if at % 7 == 0 {
            let kind = [OpKind::Create, OpKind::Allocate, OpKind::SyncDir][at % 3];
            disk.inject(Fault::once(kind, 0).with_error(FaultError::NoSpace));
            // Refused, or not reached: the next step has the space again.
            let _ = progress.step(&disk, &mut wal, Step::Rotate);
            disk.clear_faults();
        }
        progress.step(&disk, &mut wal, step).unwrap();
    }
    let numbers = disk
        .files()
        .iter()
        .map(|path| path[4..10].parse().unwrap())
        .collect::<Vec<u64>>();
    let (first, last) = (numbers[0], numbers[numbers.len() - 1]);
    assert_eq!(numbers, (first..=last).collect::<Vec<u64>>());
    assert!(last > 10);
}

#[test]
fn restarts_do_not_pile_up_files() {
    let disk = SimDisk::new();
    write(&create(&disk).unwrap(), 1, 10).unwrap();
    for seed in 2..30 {
        let (_, end) = read(&disk, 0).unwrap();
        let wal = open(&disk, end, seed).unwrap();
        wal.idle_marker().unwrap();
    }
    assert!(disk.files().len() <= 3, "{:?}", disk.files());
    assert_eq!(read(&disk, 0).unwrap().0.len(), 1);
}

#[test]
fn whole_files_are_retired_and_the_rest_still_proves_itself() {
    let disk = SimDisk::new();
    let wal = create(&disk).unwrap();
    for seqno in 1..=9 {
        write(&wal, seqno, 1500).unwrap();
    }
    assert_eq!(wal.first_needed(SeqNo(0)), 1);
    let on_disk = || -> u64 {
        let files = disk.files().into_iter();
        files
            .map(|path| disk.open(&path).unwrap().len().unwrap())
            .sum()
    };
    // The spare counts.
    wal.idle_marker().unwrap();
    assert_eq!(wal.disk_bytes(), on_disk());
    let live = wal.disk_bytes();
    let needed = wal.first_needed(SeqNo(5));
    assert_eq!(wal.retire_below(SeqNo(6)).unwrap() as u64, needed - 1);
    assert!(wal.disk_bytes() < live);
    assert_eq!(wal.disk_bytes(), on_disk());
    assert_eq!(wal.first_needed(SeqNo(0)), needed);
    drop(wal);
    let (records, end) = read(&disk, 5).unwrap();
    assert_eq!(records.first().map(|record| record.0), Some(6));
    assert_eq!(end.last, SeqNo(9));
    // A manifest from before the retirement cannot be served any more, and that is said.
    let error = read(&disk, 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let wal = open(&disk, end, 2).unwrap();
    assert!(wal.retire_below(SeqNo(10)).unwrap() > 0);
    write(&wal, 10, 10).unwrap();
    assert_eq!(read(&disk, 9).unwrap().0.len(), 1);
}
