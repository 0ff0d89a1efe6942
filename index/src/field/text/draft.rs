//! Making a text column: the tokens of the texts of every row, and where in the row they are.

use std::collections::HashMap;
use std::io::Write;

use format_spec::{ColumnBuilder, PartSummary, PartWriter, TokenAt, WriteError};

use super::Analyzer;
use crate::Row;
use crate::field::column::{set, unset};

/// The greatest position that a column holds (chapter 10 of the format).
const POSITION_MAX: u32 = u32::MAX >> 1;

/// Tokens in the making: texts go in, row after row.
///
/// Memory: 12 bytes a token of a text, and the different tokens.
#[derive(Debug)]
pub(crate) struct TextDraft {
    analyzer: Analyzer,
    /// Number of each token, in order of appearance.
    numbers: HashMap<String, u32>,
    places: Vec<Place>,
    /// Rows with more than one text.
    many: Vec<u64>,
    /// The last row with a text, and the first position for its next text.
    last: Option<(Row, u32)>,
}

#[derive(Copy, Clone, Debug)]
struct Place {
    token: u32,
    row: Row,
    position: u32,
}

impl TextDraft {
    pub(crate) fn new(analyzer: Analyzer) -> Self {
        Self {
            analyzer,
            numbers: HashMap::new(),
            places: Vec::new(),
            many: Vec::new(),
            last: None,
        }
    }

    /// Takes a text of `row`; tells whether the column can hold it.
    pub(crate) fn take(&mut self, text: &str, row: Row) -> bool {
        let start = match self.last {
            Some((last, next)) if last == row => {
                set(&mut self.many, row);
                next
            }
            _ => 0,
        };
        // A position is at most as great as the bytes before it are many.
        let most = u32::try_from(text.len()).ok();
        if most
            .and_then(|most| start.checked_add(most))
            .is_none_or(|most| most > POSITION_MAX)
        {
            return false;
        }
        let keeps_places = self.analyzer.settings().phrase_matching;
        let (numbers, places) = (&mut self.numbers, &mut self.places);
        let mut next = start;
        self.analyzer.document(text, &mut |token, position| {
            let count = numbers.len() as u32;
            let token = match numbers.get(token) {
                Some(&number) => number,
                None => *numbers.entry(token.to_owned()).or_insert(count),
            };
            next = start + position + 1;
            let position = if keeps_places { start + position } else { 0 };
            places.push(Place {
                token,
                row,
                position,
            });
        });
        // The gap, so that no phrase begins in one text and ends in the next.
        self.last = Some((row, next + 1));
        true
    }

    /// Takes back all texts of the last row.
    pub(crate) fn forget(&mut self, row: Row) {
        while self.places.pop_if(|place| place.row == row).is_some() {}
        unset(&mut self.many, row);
    }

    /// Writes the column part.
    pub(crate) fn finish<W: Write>(
        self,
        builder: ColumnBuilder<'_>,
        part: PartWriter<W>,
    ) -> Result<(W, PartSummary), WriteError> {
        let mut tokens: Vec<(&str, u32)> = self.numbers.iter().map(|(t, n)| (&**t, *n)).collect();
        tokens.sort_unstable();
        // Places are ascending by row and position already: they only have to be put by token.
        let mut rank = vec![0_u32; tokens.len()];
        for (place, (_, number)) in (0..).zip(&tokens) {
            rank[*number as usize] = place;
        }
        let mut places = self.places;
        places.sort_by_key(|place| rank[place.token as usize]);
        let places = places.iter().map(|place| TokenAt {
            token: tokens[rank[place.token as usize] as usize].0,
            row: place.row,
            position: place.position,
        });
        let with_positions = self.analyzer.settings().phrase_matching;
        builder.texts(part, places, &self.many, with_positions)
    }
}
