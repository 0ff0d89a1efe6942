//! What a crash may take: nothing that was acknowledged.

use super::*;

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
