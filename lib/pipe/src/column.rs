//! Columns: TAB-separated text, one line a row, no header, `nan` for a missing value.

use crate::failure::Failure;
use std::fmt::Display;
use std::io::Write;

/// Appends a number: shortest decimals that read back as the same number, no exponent, `nan`, `inf` or `-inf`.
pub fn write_number(number: f64, out: &mut Vec<u8>) {
    let written = if number.is_nan() { write!(out, "nan") } else { write!(out, "{number}") };
    written.expect("writing to memory cannot fail");
}

/// Appends a whole number.
pub fn write_integer(number: u64, out: &mut Vec<u8>) {
    write!(out, "{number}").expect("writing to memory cannot fail");
}

/// Reads a number.
///
/// # Errors
/// What was found in which field (counted from 1).
pub fn read_number(text: &[u8], field: usize) -> Result<f64, String> {
    let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.ok_or_else(|| unexpected(text, field, "a number"))
}

/// Reads a whole number; `nan`, a missing one, is `None`.
///
/// # Errors
/// What was found in which field (counted from 1).
pub fn read_integer(text: &[u8], field: usize) -> Result<Option<u64>, String> {
    if text == b"nan" {
        return Ok(None);
    }
    let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| unexpected(text, field, "a whole number"))
}

/// Reads the number of a cluster; `-1` and `nan`, a missing one, are `None`.
///
/// # Errors
/// What was found in which field (counted from 1).
pub fn read_cluster(text: &[u8], field: usize) -> Result<Option<u32>, String> {
    if matches!(text, b"-1" | b"nan") {
        return Ok(None);
    }
    let number = str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| unexpected(text, field, "the number of a cluster (-1: none)"))
}

/// What to say of a field that is not what it should be.
pub fn unexpected(text: &[u8], field: usize, expected: &str) -> String {
    let shown: String = String::from_utf8_lossy(text).chars().take(40).collect();
    format!("field {field}: expected {expected}, found {shown:?}")
}

/// What to say when documents and a column do not end together. How many the one are that go on is not waited for: they
/// may have no end, so that it is said to be [`more_than`] the other.
pub fn unequal(documents: impl Display, column: &str, rows: impl Display) -> Failure {
    uneven("documents", documents, column, rows)
}

/// The same of any two that stand beside each other.
pub fn uneven(one: &str, count: impl Display, other: &str, rows: impl Display) -> Failure {
    Failure::work(format!("{one}: {count}; {other}: {rows}; expected as many of the one as of the other"))
}

/// What to say where a column and the documents beside it have other keys.
pub fn unlike(column: u64, document: u64) -> String {
    format!(
        "key {document:016x}: the column has {column:016x}; expected documents in the order of its rows, and their \
         keys by the same --id-field"
    )
}

/// A number that is not known but for this.
pub fn more_than(number: u64) -> String {
    format!("more than {number}")
}

/// The fields of a row.
pub fn fields(row: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    row.strip_suffix(b"\r").unwrap_or(row).split(|&byte| byte == b'\t')
}

/// One field of a row, counted from 1.
///
/// # Errors
/// What was expected there.
pub fn field<'a>(row: &'a [u8], number: usize, expected: &str) -> Result<&'a [u8], String> {
    let found = fields(row).nth(number - 1);
    found.ok_or_else(|| format!("expected {expected} in field {number}, found {} fields", fields(row).count()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_no_exponent_and_read_back() {
        for (number, text) in [
            (1e-7, "0.0000001"),
            (1e21, "1000000000000000000000"),
            (-0.1, "-0.1"),
            (f64::NAN, "nan"),
            (-f64::NAN, "nan"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(out, text.as_bytes());
            assert!(read_number(&out, 1).is_ok_and(|read| read == number || read.is_nan() && number.is_nan()));
        }
    }

    #[test]
    fn a_wrong_field_is_named() {
        assert_eq!(read_number(b"x1", 3), Err(r#"field 3: expected a number, found "x1""#.to_string()));
        assert_eq!(read_integer(b"1.5", 2), Err(r#"field 2: expected a whole number, found "1.5""#.to_string()));
        assert_eq!(read_integer(b"nan", 2), Ok(None));
        let expected = r#"field 1: expected the number of a cluster (-1: none), found "-2""#;
        assert_eq!(read_cluster(b"-2", 1), Err(expected.to_string()));
        assert_eq!([&b"-1"[..], b"nan", b"7"].map(|text| read_cluster(text, 1)), [Ok(None), Ok(None), Ok(Some(7))]);
    }

    #[test]
    fn rows_split_at_tabs() {
        assert_eq!(fields(b"a\t\tb c\r").collect::<Vec<_>>(), [&b"a"[..], b"", b"b c"]);
        assert_eq!(field(b"a\tb", 2, "a letter"), Ok(&b"b"[..]));
        assert_eq!(field(b"a\tb", 3, "a letter"), Err("expected a letter in field 3, found 2 fields".to_string()));
    }
}
