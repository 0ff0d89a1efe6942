//! Asking the CPU for rows before their turn: how, how far ahead, and how much of each.
//!
//! The distances and lengths are what measured best over rows in memory, without a cost for rows in
//! the caches worth naming: `benches/record/amd-epyc/2026-11-22-kernels.md`.

#![expect(unsafe_code, reason = "prefetch instructions")]

/// Bytes of a cache line, on every machine that Cairn has kernels for.
pub(super) const LINE: usize = 64;

/// How many rows ahead of the kernel a gather prefetches.
pub(super) const AHEAD_BY_NUMBER: usize = 8;

/// How many rows ahead of the kernel a block prefetches.
pub(super) const AHEAD_IN_ORDER: usize = 4;

/// How many lines of a row with `len` bytes are prefetched when no stream leads to it: all of up to
/// 24. Of a longer row the first eight, which get the hardware's own streamer going; the rest of it
/// would only crowd out other rows.
#[inline]
pub(super) const fn lines_by_number(len: usize) -> usize {
    let lines = len.div_ceil(LINE);
    if lines <= 24 { lines } else { 8 }
}

/// How many lines of a row with `len` bytes are prefetched when rows come in order: all of up to
/// 16. A scan of longer rows is fastest when it is left to the hardware; in shorter ones the masked
/// loads of tails, which the streamer does not see, are too many of all loads.
#[inline]
pub(super) const fn lines_in_order(len: usize) -> usize {
    let lines = len.div_ceil(LINE);
    if lines <= 16 { lines } else { 0 }
}

/// Asks the CPU for `row`, or for the beginning of a long one, for a read that comes soon.
#[inline]
pub fn prefetch(row: &[u8]) {
    lines(row.as_ptr(), lines_by_number(row.len()));
}

/// Asks the CPU for all of `items`, which are read next and in order.
#[inline]
pub fn prefetch_whole<T>(items: &[T]) {
    lines(items.as_ptr().cast(), size_of_val(items).div_ceil(LINE));
}

/// Asks for `count` lines from the one with `first` on.
#[inline]
pub(super) fn lines(first: *const u8, count: usize) {
    for n in 0..count {
        line(first.wrapping_add(n * LINE));
    }
}

#[inline]
fn line(at: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which no address can make fault; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at.cast()) };
    }
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a hint, which no address can make fault; it writes neither memory nor registers.
    unsafe {
        std::arch::asm!(
            "prfm pldl1keep, [{at}]",
            at = in(reg) at,
            options(nostack, preserves_flags, readonly)
        );
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let _ = at;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefetch_takes_any_row() {
        prefetch(&[]);
        prefetch(&[1]);
        prefetch(&[0; 100_000]);
    }
}
