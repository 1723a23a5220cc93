//! The elements of a JSON array that comes in pieces.
//!
//! Only strings and brackets are followed, which finds the end of each element; the element is then checked as a whole,
//! and the space between its tokens left out.

use serde::de::IgnoredAny;

/// Where in the array the next byte is.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
enum Place {
    /// Before the array.
    #[default]
    Before,
    /// Behind the bracket that opens it: an element or the end follows.
    First,
    /// Behind a comma: an element follows.
    Next,
    /// In an element, so many brackets deep.
    Element(u64),
    /// In a string of an element; whether the byte before was a backslash that escapes.
    Text { depth: u64, escaped: bool },
    /// Behind the array.
    Behind,
}

/// What was read so far.
#[derive(Default)]
pub struct Elements {
    place: Place,
    /// The element so far, as it came.
    element: Vec<u8>,
    /// Where it begins.
    begin: Position,
    at: Position,
}

/// A place in the file, counted from 0.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Position {
    line: u64,
    byte: u64,
}

impl Position {
    /// The place behind these bytes.
    fn behind(self, bytes: &[u8]) -> Position {
        let lines = memchr::memchr_iter(b'\n', bytes).count() as u64;
        match memchr::memrchr(b'\n', bytes) {
            None => Position { byte: self.byte + bytes.len() as u64, ..self },
            Some(last) => Position { line: self.line + lines, byte: (bytes.len() - last - 1) as u64 },
        }
    }

    /// What is wrong there.
    fn wrong(self, why: &str) -> String {
        format!("{}: {why} at byte {} of the line", self.line + 1, self.byte + 1)
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

impl Elements {
    /// Takes the next piece, and appends a line for each element that ends in it; gives how many these are.
    ///
    /// # Errors
    /// What is no array of JSON values, with its line and byte.
    pub fn take(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<u64, String> {
        let mut rows = 0;
        for &byte in piece {
            rows += u64::from(self.byte(byte, out)?);
            self.at = self.at.behind(&[byte]);
        }
        Ok(rows)
    }

    /// The input ends here.
    ///
    /// # Errors
    /// The array does not.
    pub fn end(&self) -> Result<(), String> {
        match self.place {
            Place::Behind => Ok(()),
            Place::Before => Err(self.at.wrong("expected a JSON array, found nothing")),
            _ => Err(self.at.wrong("the array is truncated")),
        }
    }

    /// Takes one byte; whether an element ends before it.
    fn byte(&mut self, byte: u8, out: &mut Vec<u8>) -> Result<bool, String> {
        let wrong = |expected: &str| {
            let shown = byte.escape_ascii();
            Err(self.at.wrong(&format!("expected {expected}, found '{shown}'")))
        };
        let next = match (self.place, byte) {
            (Place::Text { .. }, 0..0x20) => return wrong("no control character in a string"),
            (Place::Text { depth, escaped: false }, b'"') => Place::Element(depth),
            (Place::Text { depth, escaped }, _) => Place::Text { depth, escaped: byte == b'\\' && !escaped },
            (Place::Element(0), b',' | b']') => {
                self.finish(out)?;
                self.place = if byte == b',' { Place::Next } else { Place::Behind };
                return Ok(true);
            }
            (Place::Element(depth), _) => token(byte, depth),
            (place, _) if is_space(byte) => place,
            (Place::Before, b'[') => Place::First,
            (Place::Before, _) => return wrong("a JSON array"),
            (Place::First, b']') => Place::Behind,
            (Place::First | Place::Next, b',' | b']') => return wrong("a value"),
            (Place::First | Place::Next, _) => {
                self.begin = self.at;
                token(byte, 0)
            }
            (Place::Behind, _) => return wrong("nothing behind the array"),
        };
        if matches!(next, Place::Element(_) | Place::Text { .. }) {
            self.element.push(byte);
        }
        self.place = next;
        Ok(false)
    }

    /// Appends the element as a line.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        if let Err(why) = std::str::from_utf8(&self.element) {
            return Err(self.begin.behind(&self.element[..why.valid_up_to()]).wrong("not UTF-8"));
        }
        if let Err(why) = serde_json::from_slice::<IgnoredAny>(&self.element) {
            let said = why.to_string();
            let said = said.split(" at line ").next().unwrap_or_default();
            return Err(self.behind_of(why.line(), why.column()).wrong(&format!("not JSON: {said}")));
        }
        compact(&self.element, out);
        out.push(b'\n');
        self.element.clear();
        Ok(())
    }

    /// The place of a line and column of the element, both counted from 1.
    fn behind_of(&self, line: usize, column: usize) -> Position {
        let byte = column.saturating_sub(1) as u64 + if line == 1 { self.begin.byte } else { 0 };
        Position { line: self.begin.line + (line - 1) as u64, byte }
    }
}

/// Where a byte of an element leads, outside of its strings.
fn token(byte: u8, depth: u64) -> Place {
    match byte {
        b'"' => Place::Text { depth, escaped: false },
        b'[' | b'{' => Place::Element(depth + 1),
        b']' | b'}' => Place::Element(depth.saturating_sub(1)),
        _ => Place::Element(depth),
    }
}

/// Appends a JSON value without the space between its tokens.
fn compact(value: &[u8], out: &mut Vec<u8>) {
    let (mut in_text, mut escaped) = (false, false);
    for &byte in value {
        if in_text || !is_space(byte) {
            out.push(byte);
        }
        in_text ^= byte == b'"' && !escaped;
        escaped = in_text && byte == b'\\' && !escaped;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a text in pieces of so many bytes.
    fn lines(text: &[u8], piece: usize) -> Result<String, String> {
        let (mut elements, mut out) = (Elements::default(), Vec::new());
        let mut rows = 0;
        for piece in text.chunks(piece) {
            rows += elements.take(piece, &mut out)?;
        }
        elements.end()?;
        assert_eq!(rows, out.iter().filter(|&&byte| byte == b'\n').count() as u64);
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn elements_leave_byte_for_byte_wherever_pieces_end() {
        let text = " [ {\"a\" : 1.50E+3,\r\n\t\"b\\\"]\\\\\":[ ] , \"c\":\" \\n, ]\"} ,\n-0,\"\u{e9}\\ud800\" , \
         [[],{}],null ]\n\n";
        let expected = "{\"a\":1.50E+3,\"b\\\"]\\\\\":[],\"c\":\" \\n, ]\"}\n-0\n\"\u{e9}\\ud800\"\n[[],{}]\nnull\n";
        for piece in 1..text.len() {
            assert_eq!(lines(text.as_bytes(), piece).as_deref(), Ok(expected), "{piece}");
        }
        assert_eq!(lines(b"[]", 2).as_deref(), Ok(""));
    }

    #[test]
    fn what_is_wrong_is_named_by_line_and_byte() {
        for (text, said) in [
            (&b""[..], "1: expected a JSON array, found nothing at byte 1 of the line"),
            (b"{\"a\": 1}", "1: expected a JSON array, found '{' at byte 1 of the line"),
            (b"[1 2]", "1: not JSON: trailing characters at byte 4 of the line"),
            (b"[1,\n 2 3]", "2: not JSON: trailing characters at byte 4 of the line"),
            (b"[{\"a\":\n  tru}]", "2: not JSON: expected ident at byte 6 of the line"),
            (b"[1,]", "1: expected a value, found ']' at byte 4 of the line"),
            (b"[,1]", "1: expected a value, found ',' at byte 2 of the line"),
            (b"[1] x", "1: expected nothing behind the array, found 'x' at byte 5 of the line"),
            (b"[1,\n2", "2: the array is truncated at byte 2 of the line"),
            (b"[\"a", "1: the array is truncated at byte 4 of the line"),
            (b"[\"a\nb\"]", "1: expected no control character in a string, found '\\n' at byte 4 of the line"),
            (b"[1, \"\xff\"]", "1: not UTF-8 at byte 6 of the line"),
            (b"[{]]", "1: not JSON: "),
            (b"[}]", "1: not JSON: "),
            (b"[{]", "1: the array is truncated"),
        ] {
            let wrong = lines(text, 3).unwrap_err();
            assert!(wrong.starts_with(said), "{:?}: {wrong}", String::from_utf8_lossy(text));
        }
    }
}
