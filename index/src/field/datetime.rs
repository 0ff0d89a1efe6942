//! Dates and times as payloads and filters write them: text to microseconds since 1970, UTC.
//!
//! The forms are those that Qdrant reads, RFC 3339 and what is close to it:
//!
//! ```text
//! 2024-01-31   2024-01-31T12:30   2024-01-31 12:30:05   2024-01-31T12:30:05.25
//! 2024-01-31T12:30:05Z   ... +02:00   ... -0330   ... +05   ... UTC
//! ```
//!
//! # Invariants
//! - Without a zone the time is in UTC; a zone is taken only behind seconds.
//! - What is finer than a microsecond is cut off, so that order is kept.
//! - Whatever is read here, Qdrant's parser (chrono) reads as the same moment.

use jiff::civil::{Date, date};

const EPOCH: Date = date(1970, 1, 1);

/// Microseconds since 1970-01-01T00:00:00Z, or `None` for what is no date.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let mut rest = Rest(text.as_bytes());
    rest.skip_space();
    let year = rest.number(4)?;
    rest.byte(b'-')?;
    let month = rest.number(2)?;
    rest.byte(b'-')?;
    let day = rest.number(2)?;
    let mut micros = days_since_epoch(year, month, day)? * 86_400_000_000;
    if rest.0.is_empty() {
        return Some(micros);
    }
    let between = rest.next_if(|byte| matches!(byte, b'T' | b't') || byte.is_ascii_whitespace())?;
    rest.skip_space();
    let (time, zone) = rest.time()?;
    micros += time;
    // A small letter goes with a whole zone only.
    let allowed = between != b't' || matches!(zone, Zone::Whole(_));
    if let Zone::Whole(minutes) | Zone::Hours(minutes) = zone {
        micros -= minutes * 60_000_000;
    }
    (allowed && rest.0.is_empty()).then_some(micros)
}

/// Minutes east of UTC.
enum Zone {
    None,
    Whole(i64),
    /// Without minutes.
    Hours(i64),
}

fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    let year = i16::try_from(year).ok()?;
    let (month, day) = (i8::try_from(month).ok()?, i8::try_from(day).ok()?);
    let date = Date::new(year, month, day).ok()?;
    Some(date.duration_since(EPOCH).as_hours() / 24)
}

/// What is left to read.
struct Rest<'t>(&'t [u8]);

impl Rest<'_> {
    /// The microseconds since midnight, and the zone.
    fn time(&mut self) -> Option<(i64, Zone)> {
        let hour = self.number(2)?;
        self.byte(b':')?;
        let minute = self.number(2)?;
        if hour > 23 || minute > 59 {
            return None;
        }
        let minutes = (hour * 60 + minute) * 60_000_000;
        if self.0.is_empty() {
            return Some((minutes, Zone::None));
        }
        self.byte(b':')?;
        let second = self.number(2)?;
        // The 60th is a leap second, which is the moment after the 59th here.
        if second > 60 {
            return None;
        }
        let micros = minutes + second * 1_000_000 + self.fraction()?;
        Some((micros, self.zone()?))
    }

    fn byte(&mut self, wanted: u8) -> Option<()> {
        self.next_if(|byte| byte == wanted).map(drop)
    }

    fn next_if(&mut self, wanted: impl Fn(u8) -> bool) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        if !wanted(*first) {
            return None;
        }
        self.0 = rest;
        Some(*first)
    }

    /// One digit, up to `most`.
    fn number(&mut self, most: usize) -> Option<i64> {
        let (value, digits) = self.digits(most);
        (digits > 0).then_some(value)
    }

    /// The number that up to `most` digits are, and how many there are.
    fn digits(&mut self, most: usize) -> (i64, usize) {
        let mut value = 0;
        for digits in 0..most {
            let Some(digit) = self.next_if(|byte| byte.is_ascii_digit()) else {
                return (value, digits);
            };
            value = value * 10 + i64::from(digit - b'0');
        }
        (value, most)
    }

    fn skip_space(&mut self) {
        self.0 = self.0.trim_ascii_start();
    }

    /// The microseconds behind a point, if there is one.
    fn fraction(&mut self) -> Option<i64> {
        if self.next_if(|byte| byte == b'.').is_none() {
            return Some(0);
        }
        let (mut micros, digits) = self.digits(6);
        if digits == 0 {
            return None;
        }
        for _ in digits..6 {
            micros *= 10;
        }
        while self.next_if(|byte| byte.is_ascii_digit()).is_some() {}
        Some(micros)
    }

    /// The zone, if there is one, with the space around it.
    fn zone(&mut self) -> Option<Zone> {
        if self.0.is_empty() {
            return Some(Zone::None);
        }
        self.skip_space();
        let zone = self.named_zone().or_else(|| self.offset())?;
        self.skip_space();
        Some(zone)
    }

    fn named_zone(&mut self) -> Option<Zone> {
        let len = if self.0.first()?.eq_ignore_ascii_case(&b'Z') {
            1
        } else if self.0.get(..3)?.eq_ignore_ascii_case(b"UTC") {
            3
        } else {
            return None;
        };
        self.0 = &self.0[len..];
        Some(Zone::Whole(0))
    }

    fn offset(&mut self) -> Option<Zone> {
        let sign = match self.next_if(|byte| matches!(byte, b'+' | b'-'))? {
            b'-' => -1,
            _ => 1,
        };
        let hours = self.pair()?;
        let colon = self.byte(b':').is_some();
        if hours > 23 {
            return None;
        }
        if !colon && self.0.trim_ascii_start().is_empty() {
            return Some(Zone::Hours(sign * hours * 60));
        }
        let minutes = self.pair()?;
        (minutes <= 59).then_some(Zone::Whole(sign * (hours * 60 + minutes)))
    }

    /// Two digits.
    fn pair(&mut self) -> Option<i64> {
        let (value, digits) = self.digits(2);
        (digits == 2).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};
    use proptest::prelude::*;

    /// What Qdrant does with a text: the parsers it tries, in its order.
    fn by_chrono(text: &str) -> Option<i64> {
        let zoned = DateTime::parse_from_rfc3339(text)
            .or_else(|_| text.parse())
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%#z"))
            .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%#z"));
        if let Ok(moment) = zoned {
            return Some(DateTime::<Utc>::from(moment).timestamp_micros());
        }
        let plain = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f"))
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M"))
            .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M"))
            .or_else(|_| NaiveDate::parse_from_str(text, "%Y-%m-%d").map(Into::into));
        plain.ok().map(|moment| moment.and_utc().timestamp_micros())
    }

    #[test]
    fn every_form_is_read() {
        let moment = 1_706_704_205_000_000;
        for (text, micros) in [
            (
                "2024-01-31",
                moment - (12 * 3_600 + 30 * 60 + 5) * 1_000_000,
            ),
            ("2024-01-31T12:30", moment - 5_000_000),
            ("2024-01-31 12:30", moment - 5_000_000),
            ("2024-01-31T12:30:05", moment),
            ("2024-01-31 12:30:05", moment),
            (" 2024-01-31 12:30:05", moment),
            ("2024-01-31T12:30:05Z", moment),
            ("2024-01-31t12:30:05z", moment),
            ("2024-01-31 12:30:05 UTC", moment),
            ("2024-01-31T12:30:05.5", moment + 500_000),
            ("2024-01-31T12:30:05.123456789Z", moment + 123_456),
            ("2024-01-31T14:30:05+02:00", moment),
            ("2024-01-31 14:30:05 +02:00", moment),
            ("2024-01-31 09:00:05-0330", moment),
            ("2024-01-31T17:30:05+05", moment),
            ("2024-1-31T12:30:05Z", moment),
            ("2024-01-31T12:29:65", -1),
            ("1969-12-31T23:59:59.5Z", -500_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800_000_000),
        ] {
            let wanted = (micros != -1).then_some(micros);
            assert_eq!(parse(text), wanted, "{text}");
            assert_eq!(by_chrono(text), wanted, "{text} by chrono");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "today",
            "2024",
            "2024-01",
            "2024-13-01",
            "2023-02-29",
            "2024-01-31T",
            "2024-01-31Z",
            "2024-01-31T12",
            "2024-01-31T24:00",
            "2024-01-31T12:60",
            "2024-01-31T12:30Z",
            "2024-01-31T12:30:05.",
            "2024-01-31T12:30:05+2",
            "2024-01-31T12:30:05+24:00",
            "2024-01-31T12:30:05+02:60",
            "2024-01-31T12:30:05 CET",
            "2024-01-31T12:30:05 ",
            "2024-01-31t12:30",
            "2024-01-31x12:30",
            "12024-01-31",
            "31.01.2024",
        ] {
            assert_eq!(parse(text), None, "{text}");
            assert_eq!(by_chrono(text), None, "{text} by chrono");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn whatever_is_read_is_what_qdrant_reads(
            text in "[0-9]{1,4}-[0-9]{1,2}-[0-3]?[0-9]([T t][0-2]?[0-9]:[0-6][0-9](:[0-6][0-9](\\.[0-9]{1,11})?( ?(Z|z|UTC|[+-][0-2][0-9](:?[0-5][0-9])?))?)?)?",
        ) {
            if let Some(micros) = parse(&text) {
                prop_assert_eq!(Some(micros), by_chrono(&text));
            } else {
                prop_assert_eq!(by_chrono(&text), None, "refused {}", text);
            }
        }
    }
}
