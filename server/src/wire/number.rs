//! Numbers in JSON text: read once, digit by digit, without a copy.
//!
//! The digits become an integer and a power of ten. Where those two are exact as doubles, so is
//! their quotient or product (W. D. Clinger, How to Read Floating Point Numbers Accurately, PLDI
//! 1990); for a 32-bit float the quotient of a rounded integer is enough, unless it falls next to
//! the middle of two floats. What is left goes to the standard library.
//!
//! # Invariants
//! - A number is read if and only if it is one by RFC 8259, section 6, and finite in its type.
//! - The result is the float nearest to the text, ties to even.

/// Powers of ten that are doubles.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];
/// Integers up to here are doubles.
const EXACT_MAX: u64 = 1 << 53;
/// Below this an integer takes eight more digits, below the next one more.
const EIGHT_MORE: u64 = 10_000_000_000;
const ONE_MORE: u64 = 100_000_000_000_000_000;
/// Powers of ten of so many digits as are taken at once.
const TENS: [u64; 9] = [
    1,
    10,
    100,
    1_000,
    10_000,
    100_000,
    1_000_000,
    10_000_000,
    100_000_000,
];
/// Bits of a double that a 32-bit float does not have, and the middle of them.
const CUT_BITS: u64 = (1 << 29) - 1;
const MIDDLE: u64 = 1 << 28;
/// How far in units of its last bit a quotient can be from the number: one half each for the
/// integer and the division, and a little for the digits that were cut.
const ERROR_BITS: u64 = 2;

/// The parts of a number, and how many bytes it took.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Scanned {
    negative: bool,
    /// The first digits, 18 at most.
    digits: u64,
    /// Power of ten of the last of them.
    exponent: i32,
    /// Whether digits were left out.
    cut: bool,
    /// Whether there is neither a point nor an exponent.
    pub(super) whole: bool,
    pub(super) len: usize,
}

/// Reads the number at the start of `text`; `None` if there is none.
#[inline(always)]
pub(super) fn scan(text: &[u8]) -> Option<Scanned> {
    let negative = text.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut number = Scanned {
        negative,
        digits: 0,
        exponent: 0,
        cut: false,
        whole: true,
        len: start,
    };
    number.take_digits(text, 0);
    let taken = number.len - start;
    if taken == 0 || taken > 1 && text[start] == b'0' {
        return None;
    }
    if text.get(number.len) == Some(&b'.') {
        number.whole = false;
        number.len += 1;
        let point = number.len;
        number.take_digits(text, 1);
        if number.len == point {
            return None;
        }
    }
    if let Some(b'e' | b'E') = text.get(number.len) {
        number.whole = false;
        number.take_exponent(text)?;
    }
    Some(number)
}

impl Scanned {
    /// Takes digits, each of which lowers the exponent by `scale`, 0 or 1.
    #[inline(always)]
    fn take_digits(&mut self, text: &[u8], scale: i32) {
        while self.digits < EIGHT_MORE
            && let Some(chunk) = text.get(self.len..).and_then(<[u8]>::first_chunk)
        {
            let (count, value) = leading_digits(*chunk);
            self.digits = self.digits * TENS[count] + value;
            self.exponent -= count as i32 * scale;
            self.len += count;
            if count < 8 {
                return;
            }
        }
        self.take_rest(text, scale);
    }

    /// The same, one by one: at the end of the text, and of long numbers.
    fn take_rest(&mut self, text: &[u8], scale: i32) {
        while let Some(&byte) = text.get(self.len)
            && byte.is_ascii_digit()
        {
            if self.digits < ONE_MORE {
                self.digits = self.digits * 10 + u64::from(byte - b'0');
                self.exponent -= scale;
            } else {
                self.cut = true;
                self.exponent = self.exponent.saturating_add(1 - scale);
            }
            self.len += 1;
        }
    }

    fn take_exponent(&mut self, text: &[u8]) -> Option<()> {
        self.len += 1;
        let negative = text.get(self.len) == Some(&b'-');
        self.len += usize::from(negative || text.get(self.len) == Some(&b'+'));
        let (start, mut value) = (self.len, 0_i32);
        while let Some(&byte) = text.get(self.len)
            && byte.is_ascii_digit()
        {
            value = value
                .saturating_mul(10)
                .saturating_add(i32::from(byte - b'0'));
            self.len += 1;
        }
        let value = if negative { -value } else { value };
        self.exponent = self.exponent.saturating_add(value);
        (self.len > start).then_some(())
    }

    /// The number without its sign, as near as one division or multiplication brings it.
    #[inline]
    fn quotient(&self) -> Option<f64> {
        let power = *POWERS.get(self.exponent.unsigned_abs() as usize)?;
        // By way of a signed integer, for which there is an instruction everywhere.
        let digits = self.digits.cast_signed() as f64;
        Some(if self.exponent < 0 {
            digits / power
        } else {
            digits * power
        })
    }

    /// The number as a double; `text` is what was scanned.
    pub(super) fn double(&self, text: &[u8]) -> Option<f64> {
        if let Some(quotient) = self.quotient()
            && self.digits <= EXACT_MAX
            && !self.cut
        {
            return Some(if self.negative { -quotient } else { quotient });
        }
        let text = std::str::from_utf8(text.get(..self.len)?).ok()?;
        text.parse().ok().filter(|double: &f64| double.is_finite())
    }

    /// The number as a 32-bit float; `text` is what was scanned.
    #[inline]
    pub(super) fn float(&self, text: &[u8]) -> Option<f32> {
        if let Some(quotient) = self.quotient()
            && (quotient.to_bits() & CUT_BITS).abs_diff(MIDDLE) > ERROR_BITS
        {
            let float = quotient as f32;
            let float = if self.negative { -float } else { float };
            return Some(float).filter(|float| float.is_finite());
        }
        let text = std::str::from_utf8(text.get(..self.len)?).ok()?;
        text.parse().ok().filter(|float: &f32| float.is_finite())
    }

    /// The number as an unsigned integer, if it is one without a sign.
    pub(super) fn unsigned(&self, text: &[u8]) -> Option<u64> {
        if self.negative || !self.whole {
            return None;
        }
        if !self.cut {
            return Some(self.digits);
        }
        std::str::from_utf8(text.get(..self.len)?)
            .ok()?
            .parse()
            .ok()
    }

    /// The number as a signed integer, if it is one with a sign and not zero.
    pub(super) fn signed(&self, text: &[u8]) -> Option<i64> {
        if !self.negative || !self.whole || self.digits == 0 {
            return None;
        }
        if !self.cut {
            return Some(-self.digits.cast_signed());
        }
        std::str::from_utf8(text.get(..self.len)?)
            .ok()?
            .parse()
            .ok()
    }
}

/// How many of eight bytes before the first other one are digits, and their value: all at once, in
/// three multiplications (D. Lemire, Number Parsing at a Gigabyte per Second, 2021, section 5).
#[inline(always)]
fn leading_digits(chunk: [u8; 8]) -> (usize, u64) {
    let word = u64::from_le_bytes(chunk);
    let above = word.wrapping_add(0x4646_4646_4646_4646);
    let below = word.wrapping_sub(0x3030_3030_3030_3030);
    // The lowest byte that is no digit has its top bit set in one of the two; carries and borrows
    // reach only those above it.
    let others = (above | below) & 0x8080_8080_8080_8080;
    let count = (others.trailing_zeros() / 8) as usize;
    // Zeros in front of the digits, which the first of is the lowest byte.
    let digits = below.checked_shl(64 - 8 * count as u32).unwrap_or(0);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let low = (pairs & 0x0000_00ff_0000_00ff).wrapping_mul(0x000f_4240_0000_0064);
    let high = (pairs >> 16 & 0x0000_00ff_0000_00ff).wrapping_mul(0x0000_2710_0000_0001);
    (count, low.wrapping_add(high) >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(text: &str) -> Option<f32> {
        let number = scan(text.as_bytes()).filter(|number| number.len == text.len())?;
        number.float(text.as_bytes())
    }

    fn double(text: &str) -> Option<f64> {
        let number = scan(text.as_bytes()).filter(|number| number.len == text.len())?;
        number.double(text.as_bytes())
    }

    #[test]
    fn numbers_are_those_of_the_grammar() {
        for text in [
            "0", "-0", "7", "10", "1.0", "0.50", "1e5", "1E+5", "-1.5e-07", "0e0",
        ] {
            assert_eq!(double(text), text.parse().ok(), "{text}");
        }
        for text in [
            "", "-", "+1", "01", "-01", "00", ".5", "1.", "1.e5", "1e", "1e+", "0x1", "1_0",
        ] {
            assert_eq!(double(text), None, "{text}");
        }
        assert_eq!(scan(b"12]").map(|number| number.len), Some(2));
    }

    #[test]
    fn what_no_float_can_hold_is_none() {
        assert_eq!((double("1e308"), double("1e309")), (Some(1e308), None));
        assert_eq!(
            (float("3.4e38"), float("3.5e38"), float("-1e39")),
            (Some(3.4e38), None, None)
        );
        assert_eq!(float("1e99999999999999999999"), None);
        assert_eq!(float("1e-99999999999999999999"), Some(0.0));
    }

    #[test]
    fn integers_are_told_from_other_numbers() {
        let integers = |text: &str| {
            let number = scan(text.as_bytes()).unwrap();
            (
                number.unsigned(text.as_bytes()),
                number.signed(text.as_bytes()),
            )
        };
        let most = u64::MAX.to_string();
        assert_eq!(integers(&most), (Some(u64::MAX), None));
        assert_eq!(integers("18446744073709551616"), (None, None));
        assert_eq!(integers("-9223372036854775808"), (None, Some(i64::MIN)));
        assert_eq!(integers("-9223372036854775809"), (None, None));
        assert_eq!(integers("1.0"), (None, None));
        assert_eq!(integers("-0"), (None, None));
    }

    /// The standard library is the judge: of every spelling of many bit patterns, and of texts on
    /// and beside the middle of two floats.
    #[test]
    fn the_nearest_float_is_read() {
        let mut word = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..200_000 {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            let single = f32::from_bits((word >> 32) as u32);
            let wide = f64::from_bits(word);
            let unit = (word >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
            let upper = f32::from_bits(single.to_bits().wrapping_add(1));
            let middle = f64::midpoint(f64::from(single), f64::from(upper));
            let texts = [
                format!("{single}"),
                format!("{single:e}"),
                format!("{unit}"),
                format!("{unit:.25}"),
                format!("{:.3}", unit * 1e9),
                format!("{middle}"),
                format!("{middle}1")
                    .replace("inf1", "inf")
                    .replace("NaN1", "NaN"),
                format!("{wide:e}"),
            ];
            for text in texts {
                if text.contains("inf") || text.contains("NaN") {
                    continue;
                }
                let expected = text.parse::<f32>().ok().filter(|float| float.is_finite());
                assert_eq!(float(&text), expected, "{text}");
                assert_eq!(double(&text), text.parse().ok(), "{text}");
            }
        }
    }
}
