//! The state machine: random actions one after the other, everything compared after each.
//!
//! Background work is single steps, with requests between them; and while a step runs, further
//! requests are made from inside it, at its own disk operations, where a writer's thread would
//! come in.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use engine::storage::sim::{CrashChoice, CrashRule, SimDisk};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestError;
use tests::model::Write;
use tests::readback::check_counts;
use tests::report;
use tests::second_reader::{agrees_on_all, copy_out};
use tests::session::{Outcome, Session, abandon, lock, perform_request};
use tests::watched::Watched;
use tests::workload::{Action, NAMES, action};

use crate::runner;

/// Histories whose files the second reader reads in the end.
const HISTORIES_READ: u64 = 24;

/// A run: actions, and requests that come in the middle of background steps.
type Script = (Vec<Action>, Vec<Vec<Write>>);

/// What a run did.
#[derive(Clone, Copy, Default, Debug)]
struct Tally {
    actions: u64,
    crashes: u64,
    intruders: u64,
}

#[test]
fn random_histories_leave_what_the_oracle_says() {
    let seed = report::seed();
    report::say(&format!("states: CAIRN_SEED={seed}"));
    let cases = if report::long() { 20_000 } else { 400 };
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let request = action(false).prop_filter_map("a request", |action| match action {
        Action::Request(name, request) if name == NAMES[0] => Some(request),
        _ => None,
    });
    let script = (vec(action(true), 1..60), vec(request, 0..8));
    let tally = Mutex::new(Tally::default());
    let histories = AtomicU64::new(0);
    let copies = tempfile::tempdir().expect("a temporary directory");
    let outcome = runner(seed, config).run(&script, |script| {
        let nth = histories.fetch_add(1, Ordering::Relaxed);
        let directory = (nth < HISTORIES_READ).then(|| copies.path().join(nth.to_string()));
        let done = run(&script, directory.as_deref()).map_err(TestCaseError::fail)?;
        let mut tally = lock(&tally);
        tally.actions += done.actions;
        tally.crashes += done.crashes;
        tally.intruders += done.intruders;
        Ok(())
    });
    if let Err(TestError::Fail(why, (actions, intruders))) = &outcome {
        let mut said = format!("CAIRN_SEED={seed}: {why}\nactions:\n");
        for action in actions {
            let _ = writeln!(said, "  {action:?}");
        }
        panic!("{said}inside background steps:\n  {intruders:?}");
    }
    outcome.expect("the only other outcome is too many rejects");
    agrees_on_all("states", copies.path(), 100);
    let tally = *lock(&tally);
    report::counts(
        "states",
        &[
            ("histories", u64::from(cases)),
            ("actions", tally.actions),
            ("crashes", tally.crashes),
            ("writes inside steps", tally.intruders),
        ],
    );
    report::floor("states", "actions", tally.actions, 5_000);
    report::floor("states", "crashes", tally.crashes, 300);
    report::floor("states", "writes inside steps", tally.intruders, 100);
}

/// Runs a script on an empty disk; copies what it leaves there to a directory if asked to.
fn run((actions, intruders): &Script, copy_to: Option<&Path>) -> Result<Tally, String> {
    let mut tally = Tally {
        actions: actions.len() as u64,
        ..Tally::default()
    };
    let mut watched = Watched::new(SimDisk::new());
    let mut session = start(&watched)?;
    let intruders = Arc::new(Mutex::new(VecDeque::from(intruders.clone())));
    for (number, action) in actions.iter().enumerate() {
        let step = || format!("action {number}, {action:?}");
        match action {
            Action::Reopen | Action::PowerLoss(_) | Action::Kill => {
                tally.crashes += 1;
                (watched, session) = restart(watched, session, action)
                    .map_err(|why| format!("{}: {why}", step()))?;
            }
            _ => {
                let inside = Intrusion::begin(&watched, &session, &intruders);
                let outcome = session.perform(action)?;
                tally.intruders += inside.end(&watched)?;
                if let Outcome::Failed(kind, why) = outcome {
                    return Err(format!("{}: failed with {kind:?}: {why}", step()));
                }
            }
        }
        session
            .check()
            .map_err(|why| format!("after {}:\n{why}", step()))?;
        let now = lock(&session.journal()).now.clone();
        check_counts(session.db(), &now).map_err(|why| format!("after {}: {why}", step()))?;
    }
    finish(session)?;
    if let Some(directory) = copy_to {
        copy_out(&watched.disk, directory);
    }
    Ok(tally)
}

fn start(watched: &Watched) -> Result<Session, String> {
    let session =
        Session::start(Arc::new(watched.clone())).map_err(|error| format!("{error:?}"))?;
    for name in NAMES {
        session.perform(&Action::Create(name))?;
    }
    Ok(session)
}

/// Ends the process as `action` says, and starts it again.
fn restart(
    watched: Watched,
    session: Session,
    action: &Action,
) -> Result<(Watched, Session), String> {
    let candidates = session.candidates();
    let next = match action {
        Action::PowerLoss(seed) => {
            let left = watched.disk.crash(&choice(&watched.disk, *seed));
            abandon(session, &watched.disk);
            left
        }
        Action::Kill => {
            let left = watched.disk.kill();
            abandon(session, &watched.disk);
            left
        }
        _ => {
            session
                .close()
                .map_err(|error| format!("close: {error:?}"))?;
            watched.disk
        }
    };
    let watched = Watched::new(next);
    let session = Session::resume(Arc::new(watched.clone()), &candidates)?;
    Ok((watched, session))
}

/// One of the many things that power loss can leave, chosen by a number.
pub(crate) fn choice(disk: &SimDisk, seed: u64) -> CrashChoice {
    let rule = CrashRule {
        exhaustive_max: 4,
        random: 16,
        seed,
        torn: true,
    };
    let choices: Vec<CrashChoice> = disk.crash_states(&rule).collect();
    let at = usize::try_from(seed % choices.len() as u64).unwrap_or_default();
    choices.into_iter().nth(at).unwrap_or_default()
}

/// At the end: all background work, a clean stop, and everything still there.
fn finish(session: Session) -> Result<(), String> {
    for name in NAMES {
        session.perform(&Action::RunNow(name))?;
    }
    let mut steps = 0;
    while session.db().step() {
        steps += 1;
        if steps > 1_000 {
            return Err("background work never ends".to_owned());
        }
        session
            .check()
            .map_err(|why| format!("after background step {steps}:\n{why}"))?;
    }
    let storage = Arc::clone(session.storage());
    let candidates = session.candidates();
    session
        .close()
        .map_err(|error| format!("close: {error:?}"))?;
    Session::resume(storage, &candidates)?
        .close()
        .map_err(|error| format!("close: {error:?}"))
}

/// Requests that come from inside a background step.
struct Intrusion {
    failure: Arc<Mutex<Option<String>>>,
    done: Arc<Mutex<u64>>,
}

impl Intrusion {
    /// From now on every third disk operation on a part file lets a request in.
    fn begin(
        watched: &Watched,
        session: &Session,
        waiting: &Arc<Mutex<VecDeque<Vec<Write>>>>,
    ) -> Self {
        let intrusion = Self {
            failure: Arc::default(),
            done: Arc::default(),
        };
        let Some(collection) = session.db().collection(NAMES[0]) else {
            return intrusion;
        };
        let journal = session.journal();
        let (failure, done) = (Arc::clone(&intrusion.failure), Arc::clone(&intrusion.done));
        let waiting = Arc::clone(waiting);
        let mut operations = 0_u64;
        watched.set_hook(Some(Box::new(move |_, path| {
            operations += 1;
            if !path.contains("/parts/") || !operations.is_multiple_of(3) {
                return;
            }
            let Some(request) = lock(&waiting).pop_front() else {
                return;
            };
            match perform_request(&collection, &journal, &request) {
                Ok(Outcome::Done | Outcome::Refused) => *lock(&done) += 1,
                Ok(Outcome::Failed(kind, why)) => {
                    *lock(&failure) = Some(format!("inside a step: {kind:?}: {why}"));
                }
                Err(why) => *lock(&failure) = Some(format!("inside a step: {why}")),
            }
        })));
        intrusion
    }

    fn end(self, watched: &Watched) -> Result<u64, String> {
        watched.set_hook(None);
        match lock(&self.failure).take() {
            Some(why) => Err(why),
            None => Ok(*lock(&self.done)),
        }
    }
}
