//! Memory for what a search reads from place to place.
//!
//! # Invariants
//! - The bytes begin at a cache line and are zero at first.
//! - From a huge page on they are in huge pages where the system gives them, so that a step to
//!   another place seldom misses the TLB as well as the cache.

use memmap2::MmapMut;

/// Bytes of a cache line.
const LINE: usize = 64;
/// Bytes of a huge page.
const HUGE_PAGE: usize = 2 << 20;

/// Bytes in memory, of a fixed length.
#[derive(Debug)]
pub(crate) struct HotBytes {
    store: Store,
    start: usize,
    len: usize,
}

#[derive(Debug)]
enum Store {
    Mapped(MmapMut),
    Heap(Vec<u8>),
}

impl HotBytes {
    /// So many zeros.
    pub(crate) fn zeroed(len: usize) -> Self {
        let (mut store, align) = match mapped(len) {
            Some(map) => (Store::Mapped(map), HUGE_PAGE),
            None => (Store::Heap(vec![0; len + LINE - 1]), LINE),
        };
        let bytes = store.bytes_mut();
        // What cannot be aligned is slower and no less right.
        let start = bytes.as_ptr().align_offset(align).min(align - 1);
        Self { store, start, len }
    }

    /// All of them.
    pub(crate) fn bytes(&self) -> &[u8] {
        let all: &[u8] = match &self.store {
            Store::Mapped(map) => map,
            Store::Heap(bytes) => bytes,
        };
        &all[self.start..][..self.len]
    }

    /// All of them.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.store.bytes_mut()[self.start..][..self.len]
    }
}

impl Store {
    fn bytes_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Heap(bytes) => bytes,
        }
    }
}

/// A map with room for `len` bytes from a huge page on, if it is worth one and the system has it.
fn mapped(len: usize) -> Option<MmapMut> {
    if len < HUGE_PAGE {
        return None;
    }
    let map = MmapMut::map_anon(len.checked_add(HUGE_PAGE - 1)?).ok()?;
    // Advice: without it the pages are small.
    #[cfg(target_os = "linux")]
    drop(map.advise(memmap2::Advice::HugePage));
    Some(map)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_zero_aligned_and_as_many_as_asked_for() {
        for len in [0, 1, 4_096, HUGE_PAGE - 1, HUGE_PAGE, 3 * HUGE_PAGE + 17] {
            let mut hot = HotBytes::zeroed(len);
            assert_eq!(hot.bytes().len(), len);
            assert!(hot.bytes().iter().all(|byte| *byte == 0));
            if len > 0 {
                assert_eq!(hot.bytes().as_ptr().addr() % LINE, 0);
                hot.bytes_mut()[len - 1] = 7;
                assert_eq!(hot.bytes()[len - 1], 7);
            }
        }
    }
}
