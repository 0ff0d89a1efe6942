//! Semantics of the simulated disk: what is durable when, and what a crash may leave.

use super::*;

fn file_with(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.create(path).unwrap();
    file.write_at(0, bytes).unwrap();
    file
}

/// A file whose bytes and name are durable.
fn durable_file(disk: &SimDisk, path: &str, bytes: &[u8]) -> Arc<dyn File> {
    let file = file_with(disk, path, bytes);
    file.sync_data().unwrap();
    disk.sync_dir(crate::storage::parent(path)).unwrap();
    file
}

fn keep(flags: &[bool]) -> CrashChoice {
    CrashChoice {
        keep: flags.to_vec(),
        ..CrashChoice::default()
    }
}

#[test]
fn bytes_need_a_file_sync_and_names_a_directory_sync() {
    let disk = SimDisk::new();
    let lost = |disk: &SimDisk| disk.crash(&CrashChoice::nothing());
    let file = file_with(&disk, "a", b"one");
    assert_eq!(lost(&disk).files(), Vec::<String>::new());
    file.sync_data().unwrap();
    assert_eq!(
        lost(&disk).files(),
        Vec::<String>::new(),
        "the name is not durable"
    );
    disk.sync_dir("").unwrap();
    assert_eq!(lost(&disk).bytes("a").unwrap(), b"one");
    file.write_at(0, b"two").unwrap();
    assert_eq!(lost(&disk).bytes("a").unwrap(), b"one");
    assert_eq!(
        disk.kill().bytes("a").unwrap(),
        b"two",
        "the caches outlive the process"
    );
    disk.sync_dir("").unwrap();
    assert_eq!(
        lost(&disk).bytes("a").unwrap(),
        b"one",
        "a directory sync syncs no bytes"
    );
}

#[test]
fn a_name_without_its_directory_is_gone() {
    let disk = SimDisk::new();
    disk.create_dir("a/b").unwrap();
    durable_file(&disk, "a/b/c", b"x");
    assert_eq!(
        disk.crash(&CrashChoice::nothing()).files(),
        Vec::<String>::new()
    );
    disk.sync_dir("a").unwrap();
    assert_eq!(
        disk.crash(&CrashChoice::nothing()).files(),
        Vec::<String>::new()
    );
    crate::storage::sync_dirs_up(&disk, "a/b").unwrap();
    assert_eq!(disk.crash(&CrashChoice::nothing()).files(), vec!["a/b/c"]);
}

#[test]
fn any_subset_of_sectors_may_survive_and_a_length_of_its_own() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a", &[1; 1024]);
    file.write_at(0, &[2; 1536]).unwrap();
    // Two sectors changed, one added, and the length.
    assert_eq!(disk.pending().len(), 4);
    let seen: std::collections::BTreeSet<Vec<u8>> = disk
        .crash_states(&CrashRule {
            torn: false,
            ..CrashRule::default()
        })
        .map(|choice| disk.crash(&choice).bytes("a").unwrap())
        .collect();
    // The third sector shows only with the length: 2 * 2 * (1 + 2) different files.
    assert_eq!(seen.len(), 12);
    assert!(seen.contains(&[&[1; 512][..], &[2; 512], &[0; 512]].concat()));
}

#[test]
fn a_torn_sector_is_a_prefix_of_the_new_one() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a", &[1; 512]);
    file.write_at(0, &[2; 512]).unwrap();
    let choice = CrashChoice {
        torn: Some((0, 100)),
        ..keep(&[true])
    };
    let bytes = disk.crash(&choice).bytes("a").unwrap();
    assert_eq!(bytes, [&[2; 100][..], &[1; 412]].concat());
    assert_eq!(choice.to_string(), "keep 1 torn 0 at 100");
}

#[test]
fn of_two_writes_to_a_sector_the_first_alone_may_survive() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a", b"0");
    file.write_at(0, b"1").unwrap();
    file.write_at(0, b"2").unwrap();
    assert_eq!(disk.crash(&keep(&[true, false])).bytes("a").unwrap(), b"1");
    assert_eq!(disk.crash(&keep(&[true, true])).bytes("a").unwrap(), b"2");
}

#[test]
fn a_removal_may_be_durable_before_anything_else() {
    let disk = SimDisk::new();
    durable_file(&disk, "old", b"x");
    durable_file(&disk, "new", b"y");
    let file = disk.create("newer").unwrap();
    file.write_at(0, b"z").unwrap();
    disk.remove_file("old").unwrap();
    let units = disk.pending();
    let removal = PendingUnit::Name {
        path: "old".into(),
        added: false,
    };
    let flags: Vec<bool> = units.iter().map(|unit| *unit == removal).collect();
    assert_eq!(disk.crash(&keep(&flags)).files(), vec!["new"]);
    assert_eq!(
        disk.crash(&CrashChoice::nothing()).files(),
        vec!["new", "old"]
    );
}

#[test]
fn an_allocation_reads_as_zeros_and_its_length_is_pending() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a", b"xy");
    file.allocate(2000).unwrap();
    assert_eq!(file.len().unwrap(), 2000);
    assert_eq!(
        disk.crash(&CrashChoice::nothing()).bytes("a").unwrap(),
        b"xy"
    );
    let cut = CrashChoice {
        length: Some((0, 700)),
        ..keep(&[true])
    };
    assert_eq!(disk.crash(&cut).bytes("a").unwrap().len(), 700);
    file.sync_data().unwrap();
    let bytes = disk.crash(&CrashChoice::nothing()).bytes("a").unwrap();
    assert!(bytes.len() == 2000 && bytes[2..].iter().all(|&byte| byte == 0));
}

#[test]
fn the_selection_has_none_all_singles_all_but_one_and_prefixes() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a", &[1; 12 * 512]);
    file.write_at(0, &[2; 12 * 512]).unwrap();
    let rule = CrashRule {
        random: 5,
        torn: false,
        ..CrashRule::default()
    };
    let states: Vec<CrashChoice> = disk.crash_states(&rule).collect();
    assert_eq!(states.len(), 2 + 3 * 12 + 5);
    let has = |wanted: &dyn Fn(usize) -> bool| {
        let flags: Vec<bool> = (0..12).map(wanted).collect();
        assert!(states.iter().any(|state| state.keep == flags), "{flags:?}");
    };
    has(&|_| false);
    has(&|_| true);
    for unit in 0..12 {
        has(&|at| at == unit);
        has(&|at| at != unit);
        has(&|at| at < unit);
    }
    let again: Vec<CrashChoice> = disk.crash_states(&rule).collect();
    assert_eq!(states, again, "the same seed gives the same states");
}

#[test]
fn a_crashed_disk_is_independent() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a", &[1; 600]);
    let crashed = disk.crash(&CrashChoice::nothing());
    file.write_at(0, b"new").unwrap();
    file.sync_data().unwrap();
    assert_eq!(crashed.bytes("a").unwrap(), [1; 600]);
    crashed.open("a").unwrap().write_at(599, b"!").unwrap();
    assert_eq!(disk.bytes("a").unwrap()[599], 1);
    assert_eq!(crashed.operations(), 1);
}

#[test]
fn a_failed_sync_loses_reverts_or_leaves_open() {
    let after = |mode: SyncFailure| {
        let disk = SimDisk::new();
        let file = durable_file(&disk, "a", b"old");
        file.write_at(0, b"new").unwrap();
        disk.inject(Fault::once(OpKind::Sync, 0).with_sync(mode));
        assert_eq!(file.sync_data().unwrap_err().kind(), ErrorKind::Io);
        let pending = disk.pending().len();
        let read = disk.bytes("a").unwrap();
        file.sync_data().unwrap();
        (
            pending,
            read,
            disk.crash(&CrashChoice::nothing()).bytes("a").unwrap(),
        )
    };
    assert_eq!(
        after(SyncFailure::Lost),
        (0, b"new".to_vec(), b"old".to_vec())
    );
    assert_eq!(
        after(SyncFailure::Reverted),
        (0, b"old".to_vec(), b"old".to_vec())
    );
    assert_eq!(
        after(SyncFailure::Unknown),
        (1, b"new".to_vec(), b"new".to_vec())
    );
}

#[test]
fn faults_strike_the_nth_operation_of_their_kind_once_or_for_ever() {
    let disk = SimDisk::new();
    let file = disk.create("a").unwrap();
    disk.inject(Fault::once(OpKind::Write, 1));
    let write = || file.write_at(0, &[0; 10]).map_err(|error| error.kind());
    assert_eq!(write(), Ok(()));
    assert_eq!(write(), Err(ErrorKind::Io));
    assert_eq!(write(), Ok(()));
    disk.inject(
        Fault::once(OpKind::Write, 0)
            .sticky()
            .with_error(FaultError::NoSpace),
    );
    assert_eq!(write(), Err(ErrorKind::DiskFull));
    assert_eq!(write(), Err(ErrorKind::DiskFull));
    disk.clear_faults();
    assert_eq!(write(), Ok(()));
}

#[test]
fn a_stopped_disk_does_nothing_from_that_operation_on() {
    let run = |disk: &SimDisk| -> Result<()> {
        let file = disk.create("a")?;
        file.write_at(0, b"1")?;
        file.sync_data()?;
        disk.sync_dir("")?;
        disk.remove_file("a")
    };
    let whole = SimDisk::new();
    run(&whole).unwrap();
    assert_eq!(whole.operations(), 5);
    for cut in 0..5 {
        let disk = SimDisk::new();
        disk.stop_after(cut);
        run(&disk).unwrap_err();
        assert!(disk.list("").is_err(), "reads fail as well");
        let left = disk.kill();
        assert_eq!(left.files().len(), usize::from(cut > 0), "cut {cut}");
        let crashed = disk.crash(&CrashChoice::nothing());
        assert_eq!(crashed.files().len(), usize::from(cut > 3), "cut {cut}");
    }
}

#[test]
fn a_full_disk_refuses_growth_and_takes_what_is_allocated() {
    let disk = SimDisk::new();
    disk.set_capacity(Some(1000));
    let file = disk.create("a").unwrap();
    file.allocate(900).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 100);
    assert_eq!(file.allocate(1001).unwrap_err().kind(), ErrorKind::DiskFull);
    file.write_at(0, &[1; 900]).unwrap();
    let other = disk.create("b").unwrap();
    assert_eq!(
        other.write_at(0, &[1; 101]).unwrap_err().kind(),
        ErrorKind::DiskFull
    );
    disk.remove_file("a").unwrap();
    other.write_at(0, &[1; 101]).unwrap();
}

#[test]
fn short_counts_move_every_byte_in_the_end() {
    let disk = SimDisk::new();
    disk.set_short_counts(Some(3));
    let bytes: Vec<u8> = (0..5000_u32).map(|at| at as u8).collect();
    let file = file_with(&disk, "a", &bytes);
    let mut back = vec![0; 5000];
    file.read_at(0, &mut back).unwrap();
    assert_eq!(back, bytes);
    assert!(disk.count(OpKind::Write) > 3);
}

#[test]
fn reads_past_the_end_and_of_bad_sectors_fail() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a", &[1; 2000]);
    let mut buf = [0; 100];
    assert_eq!(
        file.read_at(1950, &mut buf).unwrap_err().kind(),
        ErrorKind::Corrupt
    );
    disk.set_unreadable("a", 512, 512).unwrap();
    assert_eq!(
        file.read_at(1000, &mut buf).unwrap_err().kind(),
        ErrorKind::Io
    );
    file.read_at(1024, &mut buf).unwrap();
    assert_eq!(disk.map("a").unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn maps_are_aligned_and_a_batch_reports_each_read() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a", &[7; 1000]);
    let map = disk.map("a").unwrap();
    assert_eq!(map.as_ptr().align_offset(crate::storage::MAP_ALIGN), 0);
    assert_eq!(&map[..], &[7; 1000]);
    let (mut one, mut two) = ([0; 10], [0; 10]);
    let mut batch = [
        crate::storage::ReadRequest::new(990, &mut one),
        crate::storage::ReadRequest::new(995, &mut two),
    ];
    file.read_batch(&mut batch);
    assert!(batch[0].result.is_ok() && batch[1].result.is_err());
    assert_eq!(one, [7; 10]);
}

#[test]
fn removed_files_live_while_they_are_open_and_are_forgotten_then() {
    let disk = SimDisk::new();
    let file = durable_file(&disk, "a", b"x");
    disk.remove_file("a").unwrap();
    disk.sync_dir("").unwrap();
    let mut buf = [0];
    file.read_at(0, &mut buf).unwrap();
    assert_eq!(disk.state.lock().inodes.len(), 1);
    drop(file);
    disk.sync_dir("").unwrap();
    assert_eq!(disk.state.lock().inodes.len(), 0);
}

#[test]
fn names_behave_like_a_directory_tree() {
    let disk = SimDisk::new();
    assert_eq!(
        disk.create("no/dir").unwrap_err().kind(),
        ErrorKind::NotFound
    );
    disk.create_dir("d/e").unwrap();
    disk.create("d/f").unwrap();
    assert_eq!(disk.create("d/f").unwrap_err().kind(), ErrorKind::Conflict);
    assert_eq!(disk.open("d/g").unwrap_err().kind(), ErrorKind::NotFound);
    disk.link("d/f", "d/g").unwrap();
    let names: Vec<String> = disk
        .list("d")
        .unwrap()
        .into_iter()
        .map(|e| e.name)
        .collect();
    assert_eq!(names, ["e", "f", "g"]);
    assert!(disk.remove_dir("d").is_err());
    for path in ["../x", "/x", "a//b", ".", ""] {
        assert_eq!(
            disk.create(path).unwrap_err().kind(),
            ErrorKind::Invalid,
            "{path}"
        );
    }
    let lock = disk.lock("LOCK").unwrap();
    assert_eq!(disk.lock("LOCK").unwrap_err().kind(), ErrorKind::Busy);
    drop(lock);
    disk.lock("LOCK").unwrap();
}

#[test]
fn thousands_of_states_a_second() {
    // A file of the default size of a log, one group of three sectors in it.
    let disk = SimDisk::new();
    let file = disk.create("a").unwrap();
    file.allocate(32 << 20).unwrap();
    file.sync_data().unwrap();
    disk.sync_dir("").unwrap();
    for at in 0..200 {
        file.write_at(at * 160_000, &[1; 1200]).unwrap();
    }
    file.sync_data().unwrap();
    file.write_at(9_000_000, &[2; 1500]).unwrap();
    let choices: Vec<CrashChoice> = disk.crash_states(&CrashRule::default()).collect();
    let mut states = 0;
    for _ in 0..200 {
        for choice in &choices {
            let crashed = disk.crash(choice);
            states += usize::from(crashed.operations() == 0);
        }
    }
    assert_eq!(states, choices.len() * 200);
}
