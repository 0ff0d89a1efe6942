//! A directory of real embeddings: npy matrices, payloads, exact answers.
//!
//! | file | what |
//! |---|---|
//! | `base.f32.npy`, or else `base.f16.npy` | rows x dimension |
//! | `queries.f32.npy`, or else `queries.f16.npy` | queries x dimension |
//! | `truth.u32.npy` | queries x k: rows of the nearest base vectors, best first |
//! | `payload.jsonl.gz` | a JSON object a row |

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use serde_json::Value;

use crate::Failure;

/// A matrix in row order.
#[derive(Clone, Debug)]
pub struct Matrix<T> {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    data: Vec<T>,
}

impl<T> Matrix<T> {
    /// Row `at`.
    pub fn row(&self, at: usize) -> &[T] {
        &self.data[at * self.columns..(at + 1) * self.columns]
    }
}

/// The whole directory, in memory.
#[derive(Debug)]
pub struct Dataset {
    /// What is loaded.
    pub base: Matrix<f32>,
    /// What is asked.
    pub queries: Matrix<f32>,
    /// The exact answers.
    pub truth: Matrix<u32>,
    /// One object a base row.
    pub payloads: Vec<Value>,
}

impl Dataset {
    /// Reads the directory.
    ///
    /// # Errors
    /// A file that is missing or not as described.
    pub fn read(dir: &Path) -> Result<Self, Failure> {
        let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let base = vectors(dir, "base")?;
        let lines = BufReader::new(flate2::read::GzDecoder::new(File::open(
            dir.join("payload.jsonl.gz"),
        )?));
        let mut payloads = Vec::with_capacity(base.rows);
        for line in lines.lines() {
            payloads.push(serde_json::from_str(&line?)?);
        }
        if payloads.len() != base.rows {
            return Err(format!("{} payloads for {} rows", payloads.len(), base.rows).into());
        }
        Ok(Self {
            base,
            queries: vectors(dir, "queries")?,
            truth: npy(&dir.join("truth.u32.npy"), "<u4", 4, word)?,
            payloads,
        })
    }

    /// Share of the exact `k` nearest among the first `rows` rows that the answers, one a query,
    /// contain.
    pub fn recall(&self, answers: &[Vec<u64>], rows: usize, k: usize) -> f64 {
        let (mut hits, mut wanted) = (0, 0);
        for (at, answer) in answers.iter().enumerate() {
            let truth = self.truth.row(at).iter().map(|&row| u64::from(row));
            for row in truth.filter(|&row| row < rows as u64).take(k) {
                wanted += 1;
                hits += usize::from(answer.contains(&row));
            }
        }
        hits as f64 / wanted.max(1) as f64
    }
}

/// `name` in the precision that is there.
fn vectors(dir: &Path, name: &str) -> Result<Matrix<f32>, Failure> {
    let half = |bytes: &[u8]| half::f16::from_le_bytes([bytes[0], bytes[1]]).to_f32();
    let single = |bytes: &[u8]| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    let path = dir.join(format!("{name}.f32.npy"));
    if path.is_file() {
        return npy(&path, "<f4", 4, single);
    }
    npy(&dir.join(format!("{name}.f16.npy")), "<f2", 2, half)
}

/// Reads a two-dimensional npy file, version 1 (numpy.lib.format).
fn npy<T>(
    path: &Path,
    element: &str,
    size: usize,
    decode: impl Fn(&[u8]) -> T,
) -> Result<Matrix<T>, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(|error| format!("{}: {error}", path.display()))?
        .read_to_end(&mut bytes)?;
    let wrong = |what: &str| format!("{}: {what}", path.display());
    if bytes.len() < 10 || !bytes.starts_with(b"\x93NUMPY\x01") {
        return Err(wrong("not an npy file of version 1").into());
    }
    let end = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(bytes.get(10..end).ok_or_else(|| wrong("cut off"))?)?;
    if !header.contains(element) || header.contains("'fortran_order': True") {
        return Err(wrong(&format!("expected rows of {element}: {header}")).into());
    }
    let shape = header
        .split_once("'shape': (")
        .and_then(|(_, rest)| rest.split_once(')'));
    let shape = shape.ok_or_else(|| wrong("no shape"))?.0;
    let sizes = shape.split(',').map(|n| n.trim().parse::<usize>());
    let sizes = sizes.collect::<Result<Vec<_>, _>>()?;
    let [rows, columns] = sizes[..] else {
        return Err(wrong("not two-dimensional").into());
    };
    let data: Vec<T> = bytes[end..].chunks_exact(size).map(decode).collect();
    if data.len() != rows * columns {
        return Err(wrong("length does not fit its shape").into());
    }
    Ok(Matrix {
        rows,
        columns,
        data,
    })
}
