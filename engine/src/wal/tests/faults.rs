//! Operations that fail: nothing is acknowledged after the first.

use super::*;

#[test]
fn the_first_failed_operation_poisons_and_every_ack_before_it_survives() {
    let script = [
        Step::Write(30),
        Step::Write(3000),
        Step::Idle,
        Step::Write(900),
        Step::Rotate,
    ];
    let modes = [
        SyncFailure::Lost,
        SyncFailure::Reverted,
        SyncFailure::Unknown,
    ];
    for kind in [OpKind::Write, OpKind::Sync] {
        for (sticky, mode) in modes
            .into_iter()
            .flat_map(|mode| [(false, mode), (true, mode)])
        {
            for after in 0.. {
                let disk = SimDisk::new();
                let mut wal = create(&disk).unwrap();
                let fault = Fault::once(kind, after).with_sync(mode);
                disk.inject(if sticky { fault.sticky() } else { fault });
                let mut progress = Progress {
                    created: true,
                    ..Progress::default()
                };
                let failed = script
                    .into_iter()
                    .find_map(|step| progress.step(&disk, &mut wal, step).err());
                let name = format!("{kind:?} {after} sticky {sticky} {mode:?}");
                let Some(failed) = failed else { break };
                let poisoned = wal.poison_reason().is_some();
                assert_eq!(
                    failed.kind() == ErrorKind::Poisoned,
                    poisoned,
                    "{name}: {failed:?}"
                );
                if poisoned {
                    let next = progress.appended + 1;
                    assert_eq!(
                        append(&wal, next, 5).unwrap_err().kind(),
                        ErrorKind::Poisoned
                    );
                    assert_eq!(wal.rotate().unwrap_err().kind(), ErrorKind::Poisoned);
                    assert_eq!(wal.idle_marker().unwrap_err().kind(), ErrorKind::Poisoned);
                }
                drop(wal);
                disk.clear_faults();
                let crashed = disk.crash(&CrashChoice::nothing());
                progress.judge(&crashed, &name);
                // The same machine, the caches still there: what is shown must then be kept.
                let end = progress.judge(&disk, &name).unwrap();
                go_on(&disk, end, &name);
                assert!(after < 100);
            }
        }
    }
}

#[test]
fn bytes_that_only_the_cache_had_are_durable_before_they_count() {
    let disk = SimDisk::new();
    let wal = create(&disk).unwrap();
    write(&wal, 1, 10).unwrap();
    disk.inject(Fault::once(OpKind::Sync, 0));
    assert_eq!(write(&wal, 2, 10).unwrap_err().kind(), ErrorKind::Poisoned);
    drop(wal);
    // Still readable, though the disk lost it and believes it clean.
    let (records, end) = read(&disk, 0).unwrap();
    assert_eq!(records.len(), 2);
    assert!(!end.clean);
    drop(open(&disk, end, 2).unwrap());
    disk.evict_clean();
    assert_eq!(
        read(&disk.crash(&CrashChoice::nothing()), 0)
            .unwrap()
            .0
            .len(),
        2
    );
}

#[test]
fn recovery_may_fail_at_any_operation_and_be_tried_again() {
    let build = || {
        let disk = SimDisk::new();
        let wal = create(&disk).unwrap();
        write(&wal, 1, 3000).unwrap();
        wal.idle_marker().unwrap();
        write(&wal, 2, 2000).unwrap();
        append(&wal, 3, 100).unwrap();
        disk.kill()
    };
    for after in 0.. {
        let disk = build();
        disk.stop_after(after);
        let outcome = read(&disk, 0).and_then(|(_, end)| open(&disk, end, 2));
        let done = outcome.is_ok();
        drop(outcome);
        for choice in disk.crash_states(&CrashRule {
            exhaustive_max: 6,
            ..CrashRule::default()
        }) {
            let left = disk.crash(&choice);
            let name = format!("recovery cut at {after}, {choice}");
            let (records, end) = read(&left, 0).unwrap_or_else(|e| panic!("{name}: {e:?}"));
            assert!(records.len() >= 2, "{name}");
            go_on(&left, end, &name);
        }
        if done {
            assert!(after > 5, "recovery does more than {after} operations");
            break;
        }
    }
}

#[test]
fn short_counts_and_interrupts_are_invisible() {
    let disk = SimDisk::new();
    disk.set_short_counts(Some(5));
    let wal = create(&disk).unwrap();
    for seqno in 1..=10 {
        write(&wal, seqno, 900).unwrap();
    }
    assert_eq!(
        read(&disk.crash(&CrashChoice::nothing()), 0)
            .unwrap()
            .0
            .len(),
        10
    );
}
