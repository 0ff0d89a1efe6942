//! Every kind of file, as bytes that are kept for ever.
//!
//! For each golden file: it decodes, what was decoded encodes to the same bytes, and every
//! truncation and every single-bit flip is an error; never a panic, never another value.
//! `BLESS=1 cargo test -p cairn-format-spec --test golden` writes missing files and refreshes those
//! of the current format version; a released one must not change.

#[cfg(test)]
#[path = "golden/case.rs"]
mod case;
#[cfg(test)]
#[path = "golden/cases_a.rs"]
mod cases_a;
#[cfg(test)]
#[path = "golden/cases_b.rs"]
mod cases_b;
#[cfg(test)]
#[path = "golden/cases_codes.rs"]
mod cases_codes;
#[cfg(test)]
#[path = "golden/cases_columns.rs"]
mod cases_columns;
#[cfg(test)]
#[path = "golden/cases_wal.rs"]
mod cases_wal;

#[cfg(test)]
mod tests {
    use std::sync::Once;

    use crate::case::{Case, Damage, annotate, check_flips, check_truncations};
    use crate::{cases_a, cases_b};

    /// Fewer cases or fewer damaged variants than this means that the table lost something.
    const CASES_LEAST: usize = 27;
    const TRUNCATIONS_LEAST: usize = 300_000;
    const FLIPS_LEAST: usize = 2_500_000;

    /// Before any test reads a file.
    static BLESS: Once = Once::new();

    fn cases() -> Vec<Case> {
        let mut cases = cases_a::cases();
        cases.extend(cases_b::cases());
        BLESS.call_once(|| {
            for case in cases.iter().filter(|_| std::env::var_os("BLESS").is_some()) {
                let built = (case.build)();
                case.bless(&built, &annotate(&built, &(case.fields)(&built)));
            }
        });
        cases
    }

    #[test]
    fn golden_files_are_what_the_encoders_write() {
        for case in cases() {
            let built = (case.build)();
            let dump = annotate(&built, &(case.fields)(&built));
            let kept = case.read_bytes();
            assert_eq!(kept.len(), built.len(), "{}: length", case.name);
            let first = kept
                .iter()
                .zip(&built)
                .position(|(kept, built)| kept != built);
            assert_eq!(first, None, "{}: first byte that differs", case.name);
            assert_eq!(case.read_dump(), dump, "{}: annotated dump", case.name);
        }
    }

    #[test]
    fn golden_files_decode_and_encode_to_the_same_bytes() {
        for case in cases() {
            let bytes = case.read_bytes();
            let again = (case.reencode)(&bytes);
            let again = again.unwrap_or_else(|error| panic!("{}: {error}", case.name));
            assert!(again == bytes, "{}: encodes to other bytes", case.name);
        }
    }

    #[test]
    fn damage_to_a_golden_file_is_always_seen() {
        let (mut count, mut truncations, mut flips) = (0, 0, 0);
        for case in cases() {
            let bytes = case.read_bytes();
            let cut = check_truncations(&case, &bytes);
            let flipped = check_flips(&case, &bytes);
            let kind = match case.damage {
                Damage::Error => "all refused",
                Damage::Canonical => "refused, or decoded to exactly the damaged bytes",
            };
            println!(
                "{:24} {cut:6} truncations, {flipped:8} flips: {kind}",
                case.name
            );
            count += 1;
            truncations += cut;
            flips += flipped;
        }
        println!("{count} golden files, {truncations} truncations, {flips} flips");
        assert!(count >= CASES_LEAST, "{count} cases");
        assert!(
            truncations >= TRUNCATIONS_LEAST,
            "{truncations} truncations"
        );
        assert!(flips >= FLIPS_LEAST, "{flips} flips");
    }

    #[test]
    fn every_kept_file_has_a_case() {
        let names: Vec<_> = cases().iter().map(|case| case.name).collect();
        for name in Case::kept_names() {
            assert!(
                names.contains(&name.as_str()),
                "{name} is kept but has no case"
            );
        }
    }
}
