//! A sparse array of 512-byte sectors that is cheap to copy and to change.
//!
//! Copies share everything; a change copies one page of pointers and one list of pages. A crash
//! state of a disk is a copy, so tests make hundreds of thousands of these.

use std::sync::Arc;

/// The unit in which a disk writes: all of it or, when torn, a prefix of it.
pub const SECTOR_BYTES: usize = 512;

/// Sectors a page points to: 32 KiB of file. Small files have one page, and a 32 MiB log file has
/// a list of 1,024.
const PAGE_SECTORS: usize = 64;

/// The bytes of one sector, shared.
pub(super) type Sector = Arc<[u8; SECTOR_BYTES]>;

type Page = [Option<Sector>; PAGE_SECTORS];

/// The content of a file, or of what is durable of it; absent sectors are zero.
#[derive(Clone, Default)]
pub(super) struct Sectors {
    pages: Arc<Vec<Option<Arc<Page>>>>,
}

impl Sectors {
    pub(super) fn get(&self, sector: u64) -> Option<&Sector> {
        let (page, slot) = split(sector);
        self.pages.get(page)?.as_ref()?[slot].as_ref()
    }

    pub(super) fn set(&mut self, sector: u64, bytes: Sector) {
        let (page, slot) = split(sector);
        let pages = Arc::make_mut(&mut self.pages);
        if pages.len() <= page {
            pages.resize(page + 1, None);
        }
        let page = pages[page].get_or_insert_with(|| Arc::new([const { None }; PAGE_SECTORS]));
        Arc::make_mut(page)[slot] = Some(bytes);
    }

    /// The bytes of a sector, to be changed and set.
    pub(super) fn copy(&self, sector: u64) -> [u8; SECTOR_BYTES] {
        self.get(sector).map_or([0; SECTOR_BYTES], |bytes| **bytes)
    }

    /// Fills `buf` from `offset`.
    pub(super) fn read(&self, offset: u64, buf: &mut [u8]) {
        let mut done = 0;
        while done < buf.len() {
            let at = offset + done as u64;
            let within = within_sector(at);
            let count = (SECTOR_BYTES - within).min(buf.len() - done);
            let target = &mut buf[done..done + count];
            match self.get(at / SECTOR_BYTES as u64) {
                Some(sector) => target.copy_from_slice(&sector[within..within + count]),
                None => target.fill(0),
            }
            done += count;
        }
    }

    /// Whether both are the same memory, hence the same bytes.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.pages, &other.pages)
    }
}

fn split(sector: u64) -> (usize, usize) {
    let page = usize::try_from(sector / PAGE_SECTORS as u64).unwrap_or(usize::MAX);
    (
        page,
        usize::try_from(sector % PAGE_SECTORS as u64).unwrap_or_default(),
    )
}

/// Where in its sector a byte of a file is.
pub(super) fn within_sector(offset: u64) -> usize {
    usize::try_from(offset % SECTOR_BYTES as u64).unwrap_or_default()
}
