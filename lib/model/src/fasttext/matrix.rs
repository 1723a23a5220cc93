//! A matrix of 32-bit floats in a file, dense or product-quantised.

use super::bytes::Bytes;
use std::ops::Range;

/// Centroids of a part of the columns; a code is a byte.
const CODES: usize = 256;

/// Numbers that are added up side by side.
const LANES: usize = 8;

/// Where a matrix is in the file.
#[derive(Debug)]
pub(super) struct Matrix {
    rows: usize,
    columns: usize,
    values: Values,
}

#[derive(Debug)]
enum Values {
    /// Where the rows begin.
    Dense(usize),
    Quantised(Quantised),
}

/// A row is a code for each part of its columns: the number of a centroid of that part.
#[derive(Debug)]
struct Quantised {
    codes: usize,
    parts: usize,
    part_columns: usize,
    centroids: Range<usize>,
    norms: Option<Norms>,
}

/// Rows of length one, and codes for their lengths.
#[derive(Debug)]
struct Norms {
    codes: usize,
    centroids: Range<usize>,
}

impl Matrix {
    /// Reads a matrix of so many columns; `what` is for messages.
    pub(super) fn read(reader: &mut Bytes, what: &str, is_quantised: bool, columns: usize) -> Result<Matrix, String> {
        let has_norms = is_quantised && reader.flag(&format!("{what}: qnorm"))?;
        let rows = reader.long_size(&format!("{what}: rows"))?;
        let found = reader.i64(&format!("{what}: columns"))?;
        if found != columns as i64 {
            return Err(format!("{what}: expected {columns} columns, as dim says, found {found}"));
        }
        let values = if is_quantised {
            Values::Quantised(Quantised::read(reader, what, rows, columns, has_norms)?)
        } else {
            Values::Dense(reader.floats(what, rows.saturating_mul(columns as u64))?.start)
        };
        // Each row has a byte in the file at least.
        Ok(Matrix { rows: rows as usize, columns, values })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    pub(super) fn is_quantised(&self) -> bool {
        matches!(self.values, Values::Quantised(_))
    }

    /// Adds a row to `sum`.
    pub(super) fn add_row(&self, bytes: &[u8], row: usize, sum: &mut [f32]) {
        match &self.values {
            Values::Dense(begin) => {
                let values = dense_row(bytes, *begin, row, self.columns);
                sum.iter_mut().zip(values).for_each(|(sum, &value)| *sum += f32::from_le_bytes(value));
            }
            Values::Quantised(quantised) => {
                let norm = quantised.norm(bytes, row);
                quantised.parts(bytes, row, sum.len()).for_each(|(at, centroid)| {
                    let part = sum[at..].iter_mut().zip(centroid);
                    part.for_each(|(sum, &value)| *sum += norm * f32::from_le_bytes(value));
                });
            }
        }
    }

    /// The inner product of a row and `x`, summed in one order on every machine.
    pub(super) fn dot(&self, bytes: &[u8], row: usize, x: &[f32]) -> f32 {
        match &self.values {
            Values::Dense(begin) => dot(dense_row(bytes, *begin, row, self.columns), x),
            Values::Quantised(quantised) => {
                let part = |(at, centroid): (usize, &[[u8; 4]])| dot(centroid, &x[at..][..centroid.len()]);
                quantised.parts(bytes, row, x.len()).map(part).sum::<f32>() * quantised.norm(bytes, row)
            }
        }
    }
}

fn dense_row(bytes: &[u8], begin: usize, row: usize, columns: usize) -> &[[u8; 4]] {
    bytes[begin + 4 * row * columns..][..4 * columns].as_chunks().0
}

fn dot(row: &[[u8; 4]], x: &[f32]) -> f32 {
    let mut sums = [0.0; LANES];
    let (rows, xs) = (row.as_chunks::<LANES>(), x.as_chunks::<LANES>());
    for (row, x) in rows.0.iter().zip(xs.0) {
        add_products(&mut sums, row, x);
    }
    add_products(&mut sums, rows.1, xs.1);
    sums.iter().sum()
}

fn add_products(sums: &mut [f32], row: &[[u8; 4]], x: &[f32]) {
    for (sum, (&value, &x)) in sums.iter_mut().zip(row.iter().zip(x)) {
        *sum += f32::from_le_bytes(value) * x;
    }
}

impl Quantised {
    fn read(reader: &mut Bytes, what: &str, rows: u64, columns: usize, has_norms: bool) -> Result<Quantised, String> {
        let count = reader.size(&format!("{what}: codes"), 0)? as u64;
        let codes = reader.range(&format!("codes of the {what}"), count)?.start;
        let (parts, part_columns, centroids) = centroids(reader, what, columns)?;
        if rows.checked_mul(parts as u64) != Some(count) {
            return Err(format!("{what}: expected {rows} times {parts} codes, found {count}"));
        }
        let norms = has_norms.then(|| {
            let codes = reader.range(&format!("norms of the {what}"), rows)?.start;
            let (_, _, centroids) = self::centroids(reader, what, 1)?;
            Ok::<_, String>(Norms { codes, centroids })
        });
        Ok(Quantised { codes, parts, part_columns, centroids, norms: norms.transpose()? })
    }

    /// The parts of a row: the first of its columns, its centroid.
    fn parts<'a>(
        &'a self,
        bytes: &'a [u8],
        row: usize,
        columns: usize,
    ) -> impl Iterator<Item = (usize, &'a [[u8; 4]])> {
        let centroids: &[[u8; 4]] = bytes[self.centroids.clone()].as_chunks().0;
        let codes = &bytes[self.codes + row * self.parts..][..self.parts];
        codes.iter().enumerate().map(move |(part, &code)| {
            let at = part * self.part_columns;
            // The last part may have fewer columns.
            let length = self.part_columns.min(columns - at);
            (at, &centroids[at * CODES + usize::from(code) * length..][..length])
        })
    }

    fn norm(&self, bytes: &[u8], row: usize) -> f32 {
        let Some(norms) = &self.norms else { return 1.0 };
        let centroids = bytes[norms.centroids.clone()].as_chunks().0;
        f32::from_le_bytes(centroids[usize::from(bytes[norms.codes + row])])
    }
}

/// How many parts there are, how many columns each has, and where the centroids are.
fn centroids(reader: &mut Bytes, what: &str, columns: usize) -> Result<(usize, usize, Range<usize>), String> {
    let mut size = |name: &str| reader.size(&format!("{what}: {name} of the quantiser"), 1);
    let (dim, parts, part_columns, last_columns) = (size("dim")?, size("nsubq")?, size("dsub")?, size("lastdsub")?);
    let is_whole =
        dim == columns && parts == dim.div_ceil(part_columns) && last_columns == dim - (parts - 1) * part_columns;
    if !is_whole {
        return Err(format!(
            "{what}: {parts} parts of {part_columns} columns, the last of {last_columns}, of {dim} in all: expected \
             parts of {columns}"
        ));
    }
    let centroids = reader.floats(&format!("centroids of the {what}"), (dim * CODES) as u64)?;
    Ok((parts, part_columns, centroids))
}
