//! RowProduct: the product codes of one source's vectors, for a query.

use format_spec::Row;
use format_spec::product::ProductView;
use quant::{Compression, ProductCodebook, ProductQuery, Query};

use crate::error::Result;
use crate::segment::{OpenProduct, Part};

/// The product codes of a segment, all of them verified.
#[derive(Debug)]
pub struct RowProduct<'a> {
    codebook: &'a ProductCodebook,
    view: ProductView<'a>,
}

impl<'a> RowProduct<'a> {
    /// Verifies the codes.
    ///
    /// # Errors
    /// `Corrupt`; the vectors can still be scanned.
    pub(crate) fn new(part: &'a Part, open: &'a OpenProduct) -> Result<Self> {
        part.bytes_in(open.layout.rows_range(0..Row::MAX))?;
        Ok(Self {
            codebook: &open.codebook,
            view: open.layout.view(part.raw()),
        })
    }

    /// Prepares a query.
    pub fn query(&self, query: &Query) -> ProductQuery {
        ProductQuery::new(self.codebook, query.metric(), &query.prepared())
    }

    /// All codes, row after row.
    pub fn codes(&self) -> &'a [u8] {
        self.view.codes()
    }

    /// Bytes of a row.
    pub fn row_len(&self) -> usize {
        self.view.shape().row_len()
    }

    /// How much smaller than floats they are.
    pub fn compression(&self) -> Option<Compression> {
        let width = self.view.shape().width as usize;
        let mut all = Compression::ALL.into_iter();
        all.find(|compression| compression.width() == width)
    }
}
