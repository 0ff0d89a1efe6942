//! The log as a whole: what survives what.
//!
//! The rules: an acknowledged record is there after every crash; what replay returns is a prefix
//! of what was appended; damage before a synced point is an error and never a shorter log; a torn
//! tail is never an error.

mod crashes;
mod damage;
mod faults;
mod files;
mod full_disk;

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
