//! The log as a whole: what survives what.
//!
//! The rules: an acknowledged record is there after every crash; what replay returns is a prefix
//! of what was appended; damage before a synced point is an error and never a shorter log; a torn
//! tail is never an error.

use std::sync::Arc;

use super::*;
use crate::storage::DiskStorage;
use crate::storage::sim::{
    CrashChoice, CrashRule, Fault, FaultError, OpKind, SimDisk, SyncFailure,
};

const DIR: &str = "wal";
const ME: WalIdentity = WalIdentity {
    collection: CollectionId(7),
    shard: ShardId(3),
};

fn settings(seed: u64) -> WalSettings {
    WalSettings {
        file_bytes: 4096,
        soft_free_bytes: 0,
        hysteresis_bytes: 0,
        file_id_seed: seed,
    }
}

/// Bytes that tell which record they are of.
fn body(seqno: u64, len: usize) -> Arc<[u8]> {
    let bytes = (0..len).map(|at| (seqno as u8).wrapping_mul(31).wrapping_add(at as u8) | 1);
    bytes.collect()
}

fn record(body: &Arc<[u8]>, first: u64, last: u64) -> WalRecord<'_> {
    WalRecord {
        seq_first: SeqNo(first),
        seq_last: SeqNo(last),
        epoch: Epoch(1),
        schema_version: 2,
        in_run: false,
        commits: true,
        body,
    }
}

fn append(wal: &Wal, seqno: u64, len: usize) -> Result<Ticket> {
    wal.append(&record(&body(seqno, len), seqno, seqno))
}

fn append_run(wal: &Wal, first: u64, count: usize, len: usize) -> Result<Ticket> {
    let seqnos = first..first + count as u64;
    let bodies: Vec<Arc<[u8]>> = seqnos.clone().map(|seqno| body(seqno, len)).collect();
    let run: Vec<WalRecord<'_>> = seqnos
        .zip(&bodies)
        .map(|(seqno, body)| WalRecord {
            in_run: true,
            commits: seqno + 1 == first + count as u64,
            ..record(body, seqno, seqno)
        })
        .collect();
    wal.append_all(&run)
}

fn write(wal: &Wal, seqno: u64, len: usize) -> Result<Durable> {
    append(wal, seqno, len).and_then(|ticket| wal.wait(ticket))
}

fn create(disk: &SimDisk) -> Result<Wal> {
    Wal::create(Arc::new(disk.clone()), DIR, ME, settings(1), 1, SeqNo(0))
}

fn open(disk: &SimDisk, end: ReplayEnd, seed: u64) -> Result<Wal> {
    Wal::open(Arc::new(disk.clone()), DIR, ME, settings(seed), end)
}

/// What replay delivers: first and last SeqNo and body of each record.
type Records = Vec<(u64, u64, Vec<u8>)>;

fn read(storage: &dyn Storage, after: u64) -> Result<(Records, ReplayEnd)> {
    let mut records = Records::new();
    let end = replay(storage, DIR, &ME, SeqNo(after), &mut |record| {
        records.push((record.seq_first.0, record.seq_last.0, record.body.to_vec()));
        Ok(())
    })?;
    Ok((records, end))
}

/// A step of a scripted workload. SeqNos count up by themselves.
#[derive(Copy, Clone, Debug)]
enum Step {
    /// Appends a record with a body of this length and waits.
    Write(usize),
    /// Appends without waiting.
    Append(usize),
    /// Appends a run of so many records of this length and waits for the last.
    Run(usize, usize),
    /// Waits for everything.
    Wait,
    Idle,
    Rotate,
    Retire(u64),
    /// Retires everything acknowledged.
    RetireAll,
    Close,
    /// Closes nothing, reads back and opens again, as after a kill.
    Reopen,
}

/// How far a workload got.
#[derive(Debug, Default)]
struct Progress {
    created: bool,
    /// The newest SeqNo whose wait returned.
    acked: u64,
    /// The newest SeqNo given to an append that returned.
    appended: u64,
    lens: Vec<usize>,
    /// Older records may have been retired.
    retired: u64,
    /// Runs, as first and last SeqNo: all or nothing.
    runs: Vec<(u64, u64)>,
}

impl Progress {
    fn step(&mut self, disk: &SimDisk, wal: &mut Wal, step: Step) -> Result<()> {
        match step {
            Step::Write(len) => {
                self.append(wal, len)?;
                self.acked = wal.wait(wal.group.last())?.seqno().0;
            }
            Step::Append(len) => self.append(wal, len)?,
            Step::Run(count, len) => {
                let first = self.appended + 1;
                let last = self.appended + count as u64;
                self.runs.push((first, last));
                self.lens.extend(std::iter::repeat_n(len, count));
                self.appended = last;
                let ticket = append_run(wal, first, count, len)?;
                self.acked = wal.wait(ticket)?.seqno().0;
            }
            Step::Wait => self.acked = wal.wait(wal.group.last())?.seqno().0,
            Step::Idle => drop(wal.idle_marker()?),
            Step::Rotate => {
                wal.rotate()?;
                self.acked = self.appended;
            }
            Step::Retire(below) => {
                self.retired = self.retired.max(below.saturating_sub(1));
                wal.retire_below(SeqNo(below))?;
            }
            Step::RetireAll => {
                self.retired = self.acked;
                wal.retire_below(SeqNo(self.acked + 1))?;
            }
            Step::Close => {
                wal.close()?;
                self.acked = self.appended;
            }
            Step::Reopen => {
                let (_, end) = read(disk, self.retired)?;
                self.appended = end.last.0;
                self.lens.truncate(end.last.0 as usize);
                *wal = open(disk, end, 50 + self.appended)?;
                self.acked = self.appended;
            }
        }
        Ok(())
    }

    fn append(&mut self, wal: &Wal, len: usize) -> Result<()> {
        self.lens.push(len);
        self.appended += 1;
        append(wal, self.appended, len).map(drop)
    }

    /// Runs a script until it ends or the disk stops.
    fn run(disk: &SimDisk, script: &[Step]) -> Self {
        let mut progress = Self::default();
        let Ok(mut wal) = create(disk) else {
            return progress;
        };
        progress.created = true;
        for &step in script {
            if progress.step(disk, &mut wal, step).is_err() {
                break;
            }
        }
        progress
    }

    /// Judges what a disk holds; returns how the log ends.
    fn judge(&self, disk: &SimDisk, state: &str) -> Option<ReplayEnd> {
        let (records, end) = match read(disk, self.retired) {
            Ok(read) => read,
            Err(error) if !self.created => {
                assert!(self.acked == 0, "{state}: {error:?}");
                return None;
            }
            Err(error) => panic!("{state}: false alarm: {error:?}"),
        };
        let mut next = self.retired + 1;
        for (first, last, bytes) in records {
            assert_eq!((first, last), (next, next), "{state}: out of order");
            let len = self.lens[next as usize - 1];
            assert_eq!(bytes, *body(next, len), "{state}: wrong bytes of {next}");
            next += 1;
        }
        let last = next - 1;
        assert!(
            last >= self.acked,
            "{state}: {} was acknowledged, log ends at {last}",
            self.acked
        );
        assert!(
            last <= self.appended.max(self.retired),
            "{state}: {last} was never appended"
        );
        for &(first, end) in &self.runs {
            assert!(
                last < first || last >= end,
                "{state}: run {first} to {end} cut at {last}"
            );
        }
        assert_eq!(end.last.0, last, "{state}");
        let survey = chain::survey(disk, DIR, ME).unwrap();
        let below = survey.iter().rev().skip(1);
        for (number, found) in below {
            let opened = matches!(found, chain::Found::Opened(_));
            assert!(
                opened,
                "{state}: file {number} is {found:?} and not the highest"
            );
        }
        Some(end)
    }
}

/// Cuts the script in front of every operation, and looks at the crash states of each cut.
/// Returns how many states.
fn enumerate(script: &[Step], rule: &CrashRule) -> usize {
    let whole = SimDisk::new();
    let progress = Progress::run(&whole, script);
    assert!(progress.acked > 0);
    let mut states = 0;
    for cut in 0..=whole.operations() {
        let disk = SimDisk::new();
        disk.stop_after(cut);
        let progress = Progress::run(&disk, script);
        let rule = CrashRule {
            seed: cut,
            ..rule.clone()
        };
        let killed = std::iter::once((disk.kill(), "killed".to_owned()));
        let crashed = disk.crash_states(&rule).map(|choice| {
            let name = choice.to_string();
            (disk.crash(&choice), name)
        });
        for (number, (left, name)) in killed.chain(crashed).enumerate() {
            let name = format!("operation {cut}, {name}");
            states += 1;
            let Some(end) = progress.judge(&left, &name) else {
                continue;
            };
            if number % 7 == 0 {
                go_on(&left, end, &name);
            }
        }
    }
    states
}

/// Recovers, writes one more record, loses power, and finds everything that replay had shown.
fn go_on(disk: &SimDisk, end: ReplayEnd, name: &str) {
    let shown = end.last.0;
    let wal = open(disk, end, 99).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    write(&wal, shown + 1, 40).unwrap();
    drop(wal);
    let crashed = disk.crash(&CrashChoice::nothing());
    let (_, end) = read(&crashed, 0)
        .or_else(|_| read(&crashed, shown))
        .unwrap();
    assert_eq!(end.last.0, shown + 1, "{name}: shown, then lost");
}

#[test]
fn records_come_back_from_a_real_disk_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Arc::new(DiskStorage::new(dir.path()).unwrap());
    let settings = WalSettings {
        file_bytes: 64 << 10,
        soft_free_bytes: 0,
        ..settings(1)
    };
    let wal = Wal::create(storage.clone(), DIR, ME, settings, 1, SeqNo(0)).unwrap();
    for seqno in 1..=300 {
        assert_eq!(write(&wal, seqno, 700).unwrap().seqno(), SeqNo(seqno));
        if seqno % 50 == 0 {
            wal.idle_marker().unwrap();
        }
    }
    assert!(wal.counters().files > 3, "{:?}", wal.counters());
    wal.close().unwrap();
    assert_eq!(append(&wal, 301, 1).unwrap_err().kind(), ErrorKind::Closed);
    drop(wal);
    let (records, end) = read(&*storage, 0).unwrap();
    assert_eq!(records.len(), 300);
    assert!(
        records
            .iter()
            .all(|(seqno, _, bytes)| bytes[..] == body(*seqno, 700)[..])
    );
    assert!(end.clean);
    let wal = Wal::open(
        storage.clone(),
        DIR,
        ME,
        WalSettings {
            file_id_seed: 2,
            ..settings
        },
        end,
    );
    let wal = wal.unwrap();
    write(&wal, 301, 10).unwrap();
    assert_eq!(read(&*storage, 299).unwrap().0.len(), 2);
}

#[test]
fn a_group_shares_one_sync() {
    let disk = SimDisk::new();
    let wal = create(&disk).unwrap();
    let before = wal.counters();
    let tickets: Vec<Ticket> = (1..=20)
        .map(|seqno| append(&wal, seqno, 10).unwrap())
        .collect();
    for ticket in tickets {
        assert_eq!(wal.wait(ticket).unwrap().seqno(), SeqNo(20));
    }
    let after = wal.counters();
    assert_eq!(
        (after.syncs - before.syncs, after.records, after.groups),
        (1, 20, 1)
    );
}

#[test]
fn writers_on_many_threads_are_all_durable() {
    let disk = SimDisk::new();
    let wal = create(&disk).unwrap();
    let order = Mutex::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let mut last = order.lock();
                    let ticket = append(&wal, *last + 1, 30).unwrap();
                    *last += 1;
                    let mine = *last;
                    drop(last);
                    assert!(wal.wait(ticket).unwrap().seqno() >= SeqNo(mine));
                }
            });
        }
    });
    let (records, _) = read(&disk.crash(&CrashChoice::nothing()), 0).unwrap();
    assert_eq!(records.len(), 800);
}

#[test]
fn acked_records_survive_every_crash_and_nothing_is_a_false_alarm() {
    let rule = CrashRule::default();
    let scripts: [&[Step]; 7] = [
        &[
            Step::Reopen,
            Step::Reopen,
            Step::Idle,
            Step::Reopen,
            Step::Write(10),
            Step::Reopen,
        ],
        &[
            Step::Write(3000),
            Step::Rotate,
            Step::RetireAll,
            Step::Reopen,
            Step::Reopen,
            Step::Reopen,
            Step::Write(10),
        ],
        &[
            Step::Write(20),
            Step::Append(700),
            Step::Append(900),
            Step::Wait,
            Step::Idle,
        ],
        &[
            Step::Write(3000),
            Step::Write(900),
            Step::Idle,
            Step::Write(2000),
            Step::Close,
        ],
        &[
            Step::Write(10),
            Step::Run(5, 1200),
            Step::Write(10),
            Step::Rotate,
            Step::Write(5),
        ],
        &[
            Step::Append(100),
            Step::Append(100),
            Step::Rotate,
            Step::Write(30),
            Step::Rotate,
            Step::Retire(3),
            Step::Idle,
            Step::Write(9000),
        ],
        &[
            Step::Write(100),
            Step::Reopen,
            Step::Reopen,
            Step::Append(600),
            Step::Reopen,
            Step::Run(3, 1500),
            Step::Close,
        ],
    ];
    let states: usize = scripts.iter().map(|script| enumerate(script, &rule)).sum();
    assert!(states > 2_000, "only {states} states");
}

/// A script of so many steps drawn from a seed.
fn drawn_script(seed: u64, steps: usize) -> Vec<Step> {
    let mut state = seed;
    let mut draw = |most: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % most
    };
    let mut script = vec![Step::Write(20)];
    for _ in 0..steps {
        let len = [10, 300, 1000, 2500][draw(4) as usize] + draw(90) as usize;
        script.push(match draw(14) {
            0..=2 => Step::Write(len),
            3..=5 => Step::Append(len),
            6 => Step::Run(2 + draw(3) as usize, len),
            7 => Step::Wait,
            8 => Step::Idle,
            9 => Step::Rotate,
            10 | 11 => Step::Reopen,
            12 => Step::RetireAll,
            _ => Step::Append(len * 2),
        });
    }
    script.push(Step::Wait);
    script
}

#[test]
fn acked_records_survive_every_crash_of_seeded_scripts() {
    let mut states = 0;
    for seed in 0..100 {
        let script = drawn_script(seed, 10);
        println!("seed {seed}: {script:?}");
        states += enumerate(
            &script,
            &CrashRule {
                random: 64,
                ..CrashRule::default()
            },
        );
    }
    println!("{states} states");
    assert!(states > 40_000, "only {states} states");
}

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

#[test]
fn whole_files_are_retired_and_the_rest_still_proves_itself() {
    let disk = SimDisk::new();
    let wal = create(&disk).unwrap();
    for seqno in 1..=9 {
        write(&wal, seqno, 1500).unwrap();
    }
    assert_eq!(wal.first_needed(SeqNo(0)), 1);
    let live = wal.bytes_live();
    let needed = wal.first_needed(SeqNo(5));
    assert_eq!(wal.retire_below(SeqNo(6)).unwrap() as u64, needed - 1);
    assert!(wal.bytes_live() < live);
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
