//! How building a graph and making its inputs fail. Searching and scanning do not fail.

use std::error::Error;
use std::fmt;

/// A setting outside its range.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    /// The name of the setting.
    pub field: &'static str,
    /// The value it had.
    pub value: u64,
    /// The least value allowed.
    pub least: u64,
    /// The greatest value allowed.
    pub most: u64,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            value,
            least,
            most,
        } = self;
        write!(
            f,
            "graph setting {field} is {value}, allowed are {least} to {most}"
        )
    }
}

impl Error for SettingsError {}

/// Why no graph was built.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum BuildError {
    /// A setting is out of range.
    Settings(SettingsError),
    /// The space has more rows than a graph can name.
    TooManyRows {
        /// The rows of the space.
        rows: u32,
        /// The most a graph can have.
        most: u32,
    },
    /// The set of present rows is over another number of rows than the space.
    PresentLength {
        /// The length of the set.
        present: u32,
        /// The rows of the space.
        rows: u32,
    },
    /// The rows of a graph to be merged are not a part of the rows of the space.
    MergeRows {
        /// Which of the graphs.
        input: usize,
        /// The first row that it has no place for, or that an earlier one has.
        row: u32,
    },
    /// The caller asked to stop.
    Cancelled {
        /// The rows that were in the graph by then.
        rows_done: u32,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(_) => write!(f, "building a graph: invalid settings"),
            Self::TooManyRows { rows, most } => {
                write!(
                    f,
                    "building a graph: {rows} rows, at most {most} are possible"
                )
            }
            Self::PresentLength { present, rows } => {
                write!(
                    f,
                    "building a graph: presence is over {present} rows, vectors over {rows}"
                )
            }
            Self::MergeRows { input, row } => {
                write!(f, "merging graphs: row {row} of graph {input} has no place")
            }
            Self::Cancelled { rows_done } => {
                write!(f, "building a graph: cancelled after {rows_done} rows")
            }
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Settings(cause) => Some(cause),
            Self::TooManyRows { .. }
            | Self::PresentLength { .. }
            | Self::MergeRows { .. }
            | Self::Cancelled { .. } => None,
        }
    }
}

impl From<SettingsError> for BuildError {
    fn from(cause: SettingsError) -> Self {
        Self::Settings(cause)
    }
}

/// Why words are not a set of rows.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub enum WordsError {
    /// There are too few or too many words for the length.
    Count {
        /// The words given.
        words: usize,
        /// The words that the length needs.
        needed: usize,
    },
    /// A bit at or beyond the length is set.
    BeyondEnd {
        /// The length.
        len: u32,
    },
}

impl fmt::Display for WordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { words, needed } => {
                write!(f, "row set has {words} words, its length needs {needed}")
            }
            Self::BeyondEnd { len } => {
                write!(f, "row set of length {len} has a bit beyond its end")
            }
        }
    }
}

impl Error for WordsError {}
