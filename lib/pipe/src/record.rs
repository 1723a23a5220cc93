//! Records: the text and the identity of a document, taken out of a JSON line as bytes.
//!
//! Only the asked-for values are looked at; everything else is checked to be JSON and skipped. Strings are unescaped
//! into bytes rather than into `str`: Python writes lone surrogates (`"\ud800"`), which UTF-8 text cannot hold. They
//! come out as the three bytes that the general UTF-8 scheme would give them (WTF-8). Of equal names in an object the
//! last wins, as in Python.

use crate::failure::Failure;
use crate::settings::Common;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::ops::Range;

/// A dotted path to a value: names of fields, or places in arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    steps: Vec<String>,
    shown: String,
}

impl Path {
    /// Reads `a.b.0`; `\.` is a dot in a name and `\\` a backslash.
    ///
    /// # Errors
    /// Where the path is empty, or a name in it is.
    pub fn parse(text: &str) -> Result<Path, Failure> {
        let mut steps = vec![String::new()];
        let mut letters = text.chars();
        while let Some(letter) = letters.next() {
            match letter {
                '.' => steps.push(String::new()),
                '\\' => steps.last_mut().expect("never empty").extend(letters.next()),
                letter => steps.last_mut().expect("never empty").push(letter),
            }
        }
        if steps.iter().any(String::is_empty) {
            return Err(Failure::usage(format!("field {text:?}: a part of the path is empty")));
        }
        Ok(Path { steps, shown: text.to_string() })
    }
}

/// A bit for each.
const PATHS_MAX: usize = 64;

/// How the text of a document is put together.
#[derive(Debug, Clone)]
enum Part {
    Literal(String),
    /// The value at this place in [`Reader::paths`].
    Field(usize),
}

/// Takes texts and identities out of lines. One a thread; it keeps its buffers.
#[derive(Debug, Clone)]
pub struct Reader {
    paths: Vec<Path>,
    parts: Vec<Part>,
    /// The place of the identity among the paths.
    identity: Option<usize>,
    found: Vec<Option<Range<usize>>>,
    text: Vec<u8>,
    identity_bytes: Vec<u8>,
}

impl Reader {
    /// A reader as `--field`, `--template` and `--id-field` ask for.
    ///
    /// # Errors
    /// Where the template cannot be read.
    pub fn new(common: &Common) -> Result<Reader, Failure> {
        let mut paths = Vec::new();
        let parts = match &common.template {
            Some(template) => template_parts(template, &mut paths)?,
            None => {
                paths.push(Path::parse(&common.field)?);
                vec![Part::Field(0)]
            }
        };
        Reader::with_identity(common, paths, parts)
    }

    /// A reader that looks at the identity only: the text is empty.
    ///
    /// # Errors
    /// Where the flags contradict one another.
    pub fn of_identity(common: &Common) -> Result<Reader, Failure> {
        Reader::with_identity(common, Vec::new(), Vec::new())
    }

    fn with_identity(common: &Common, mut paths: Vec<Path>, parts: Vec<Part>) -> Result<Reader, Failure> {
        let identity = match &common.id_field {
            Some(path) => {
                paths.push(Path::parse(path)?);
                Some(paths.len() - 1)
            }
            None => None,
        };
        if paths.len() > PATHS_MAX {
            return Err(Failure::usage(format!(
                "{} fields of a document: expected {PATHS_MAX} at the most",
                paths.len()
            )));
        }
        Ok(Reader {
            found: vec![None; paths.len()],
            paths,
            parts,
            identity,
            text: Vec::new(),
            identity_bytes: Vec::new(),
        })
    }

    /// The text of the document on this line.
    ///
    /// # Errors
    /// What was found where the text was expected.
    pub fn text<'a>(&'a mut self, line: &'a [u8]) -> Result<&'a [u8], String> {
        self.document(line).map(|(text, _)| text)
    }

    /// The text of the document on this line, and the bytes that its key is made from.
    ///
    /// # Errors
    /// What was found where the text or the identity was expected.
    pub fn document<'a>(&'a mut self, line: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), String> {
        self.text.clear();
        if self.paths.is_empty() {
            return Ok((&self.text, line));
        }
        find(line, &self.paths, &mut self.found)?;
        let value = |path: usize| self.found[path].clone().map(|place| &line[place]);
        for part in &self.parts {
            match part {
                Part::Literal(literal) => self.text.extend_from_slice(literal.as_bytes()),
                Part::Field(field) => append_string(value(*field), &self.paths[*field], &mut self.text)?,
            }
        }
        let Some(identity) = self.identity else { return Ok((&self.text, line)) };
        self.identity_bytes.clear();
        append_identity(value(identity), &self.paths[identity], &mut self.identity_bytes)?;
        Ok((&self.text, &self.identity_bytes))
    }
}

/// Takes lists of tokens and identities out of lines. One a thread; it keeps its buffers.
#[derive(Debug, Clone)]
pub struct ListReader {
    reader: Reader,
    lists: usize,
}

impl ListReader {
    /// A reader of the lists at these paths, and of what `--id-field` asks for.
    ///
    /// # Errors
    /// Where a path cannot be read.
    pub fn new(common: &Common, paths: &[&str]) -> Result<ListReader, Failure> {
        let found = paths.iter().map(|path| Path::parse(path)).collect::<Result<_, _>>()?;
        Ok(ListReader { reader: Reader::with_identity(common, found, Vec::new())?, lists: paths.len() })
    }

    /// Fills `lists` from the document on this line, each emptied before, and gives the bytes that its key is made
    /// from. Only the first must be there.
    ///
    /// # Errors
    /// What was found where a list of tokens or the identity was expected.
    pub fn read<'a>(&'a mut self, line: &'a [u8], lists: &mut [Vec<u32>]) -> Result<&'a [u8], String> {
        assert_eq!(lists.len(), self.lists, "a list a path");
        self.reader.document(line)?;
        for (place, list) in lists.iter_mut().enumerate() {
            let raw = self.reader.found[place].clone().map(|place| &line[place]);
            list.clear();
            if raw.is_some() || place == 0 {
                *list = tokens(raw, &self.reader.paths[place])?;
            }
        }
        Ok(if self.reader.identity.is_some() { &self.reader.identity_bytes } else { line })
    }
}

fn tokens(raw: Option<&[u8]>, path: &Path) -> Result<Vec<u32>, String> {
    match raw {
        Some(list @ [b'[', ..]) => serde_json::from_slice(list).map_err(|_| {
            format!("field {:?}: expected a list of whole numbers from 0 to {}, found another", path.shown, u32::MAX)
        }),
        found => Err(unexpected(found, path, "a list of tokens")),
    }
}

fn template_parts(template: &str, paths: &mut Vec<Path>) -> Result<Vec<Part>, Failure> {
    let refused = |why: &str| Failure::usage(format!("template {template:?}: {why}"));
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        literal += before;
        if brace.starts_with("{{") || brace.starts_with("}}") {
            literal += &brace[..1];
            rest = &brace[2..];
            continue;
        }
        let end = brace.find('}').filter(|&end| end > 0).ok_or_else(|| refused("a brace without its other half"))?;
        parts.push(Part::Literal(std::mem::take(&mut literal)));
        parts.push(Part::Field(paths.len()));
        paths.push(Path::parse(&brace[1..end])?);
        rest = &brace[end + 1..];
    }
    if paths.is_empty() {
        return Err(refused("it names no field"));
    }
    parts.push(Part::Literal(literal + rest));
    Ok(parts)
}

/// Shows the names of the fields of the object on this line, those of objects in it left aside, and checks that it is
/// one.
///
/// # Errors
/// Where the line is no JSON object.
pub fn names(line: &[u8], see: impl FnMut(&str)) -> Result<(), String> {
    let mut json = serde_json::Deserializer::from_str(object(line)?);
    json.deserialize_map(Names(see)).and_then(|()| json.end()).map_err(syntax)
}

/// The line as the text of what begins like an object.
fn object(line: &[u8]) -> Result<&str, String> {
    let text = utf8(line)?;
    match text.trim_ascii() {
        "" => Err("expected a JSON object, found an empty line".to_string()),
        start if !start.starts_with('{') => Err("expected a JSON object".to_string()),
        _ => Ok(text),
    }
}

/// Where in the line the raw JSON value of each path stands; `None` where there is none.
fn find(line: &[u8], paths: &[Path], found: &mut [Option<Range<usize>>]) -> Result<(), String> {
    let text = object(line)?;
    found.fill(None);
    let mut json = serde_json::Deserializer::from_str(text);
    let wanted = u64::MAX >> (64 - paths.len());
    let walk = Walk { line: text, paths, depth: 0, wanted, found };
    walk.deserialize(&mut json).and_then(|()| json.end()).map_err(syntax)
}

/// The line as text. Most lines are ASCII, which takes a fifth of the time to see that the whole check takes.
fn utf8(line: &[u8]) -> Result<&str, String> {
    if let Some(ascii) = line.is_ascii().then_some(line) {
        // SAFETY: ASCII is UTF-8.
        return Ok(unsafe { str::from_utf8_unchecked(ascii) });
    }
    str::from_utf8(line).map_err(|why| format!("not UTF-8: byte {} of the line", why.valid_up_to() + 1))
}

/// What serde_json says of a syntax error, with the column and without its line, which is always 1.
fn syntax(why: serde_json::Error) -> String {
    let text = why.to_string();
    let text = text.split(" at line ").next().unwrap_or_default();
    format!("not JSON: {text} at byte {} of the line", why.column())
}

/// Walks down the paths that are still wanted below one value.
struct Walk<'w> {
    line: &'w str,
    paths: &'w [Path],
    /// Steps that were taken.
    depth: usize,
    /// Bit `i`: path `i` leads through this value.
    wanted: u64,
    found: &'w mut [Option<Range<usize>>],
}

impl Walk<'_> {
    /// The paths whose next step has this name.
    fn below(&self, name: &str) -> u64 {
        let leads = |&path: &usize| self.wanted >> path & 1 == 1 && self.paths[path].steps[self.depth] == name;
        (0..self.paths.len()).filter(leads).fold(0, |below, path| below | 1 << path)
    }

    /// Takes the member that these paths lead to: `take` gets the walk below it, or `None` where it is a value that is
    /// wanted itself, which it gives back raw.
    fn member<'a, E: Error>(
        &mut self,
        below: u64,
        take: impl FnOnce(Option<Walk>) -> Result<Option<&'a str>, E>,
    ) -> Result<(), E> {
        let ends = |path: &usize| below >> path & 1 == 1 && self.paths[*path].steps.len() == self.depth + 1;
        let ends = (0..self.paths.len()).filter(ends).fold(0_u64, |ends, path| ends | 1 << path);
        // An earlier member of the same name no longer counts.
        self.note(below, None);
        if ends == 0 {
            let walk = Walk { depth: self.depth + 1, wanted: below, found: self.found, ..*self };
            return take(Some(walk)).map(|_| ());
        }
        let raw = take(None)?.map(|raw| {
            let start = raw.as_ptr().addr() - self.line.as_ptr().addr();
            start..start + raw.len()
        });
        self.note(ends, raw);
        Ok(())
    }

    fn note(&mut self, paths: u64, place: Option<Range<usize>>) {
        let slots = self.found.iter_mut().enumerate().filter(|(path, _)| paths >> path & 1 == 1);
        slots.for_each(|(_, slot)| *slot = place.clone());
    }
}

impl<'a> DeserializeSeed<'a> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'a>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'a> Visitor<'a> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut map: M) -> Result<(), M::Error> {
        while let Some(Name(name)) = map.next_key()? {
            match self.below(&name) {
                0 => drop(map.next_value::<IgnoredAny>()?),
                below => self.member(below, |walk| match walk {
                    None => map.next_value::<&RawValue>().map(|raw| Some(raw.get())),
                    Some(walk) => map.next_value_seed(walk).map(|()| None),
                })?,
            }
        }
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'a>>(mut self, mut seq: S) -> Result<(), S::Error> {
        for place in 0.. {
            let mut more = true;
            match self.below(&place.to_string()) {
                0 => more = seq.next_element::<IgnoredAny>()?.is_some(),
                below => self.member(below, |walk| match walk {
                    None => seq.next_element::<&RawValue>().map(|raw| {
                        more = raw.is_some();
                        raw.map(RawValue::get)
                    }),
                    Some(walk) => seq.next_element_seed(walk).map(|element| {
                        more = element.is_some();
                        None
                    }),
                })?,
            }
            if !more {
                break;
            }
        }
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// Shows the names of one object and skips its values.
struct Names<F>(F);

impl<'a, F: FnMut(&str)> Visitor<'a> for Names<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<M: MapAccess<'a>>(mut self, mut map: M) -> Result<(), M::Error> {
        while let Some(Name(name)) = map.next_key()? {
            (self.0)(&name);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

/// The name of a field: borrowed from the line unless it has escapes.
struct Name<'a>(std::borrow::Cow<'a, str>);

impl<'a> serde::Deserialize<'a> for Name<'a> {
    fn deserialize<D: Deserializer<'a>>(json: D) -> Result<Name<'a>, D::Error> {
        json.deserialize_bytes(NameVisitor)
    }
}

struct NameVisitor;

impl<'a> Visitor<'a> for NameVisitor {
    type Value = Name<'a>;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a field name")
    }

    fn visit_borrowed_bytes<E: Error>(self, name: &'a [u8]) -> Result<Name<'a>, E> {
        Ok(Name(String::from_utf8_lossy(name)))
    }

    fn visit_bytes<E: Error>(self, name: &[u8]) -> Result<Name<'a>, E> {
        Ok(Name(String::from_utf8_lossy(name).into_owned().into()))
    }
}

fn append_string(raw: Option<&[u8]>, path: &Path, out: &mut Vec<u8>) -> Result<(), String> {
    match raw {
        Some([b'"', inside @ .., b'"']) => {
            unescape(inside, out);
            Ok(())
        }
        found => Err(unexpected(found, path, "a string")),
    }
}

fn append_identity(raw: Option<&[u8]>, path: &Path, out: &mut Vec<u8>) -> Result<(), String> {
    match raw {
        Some(number) if number.strip_prefix(b"-").unwrap_or(number).iter().all(u8::is_ascii_digit) => {
            out.extend_from_slice(number);
            Ok(())
        }
        Some([b'"', ..]) => append_string(raw, path, out),
        found => Err(unexpected(found, path, "a string or a whole number")),
    }
}

fn unexpected(found: Option<&[u8]>, path: &Path, expected: &str) -> String {
    let found = match found.and_then(|raw| raw.first()) {
        None => return format!("field {:?}: missing", path.shown),
        Some(b'"') => "string",
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b't' | b'f') => "boolean",
        Some(b'n') => "null",
        Some(_) => "number",
    };
    format!("field {:?}: expected {expected}, found {found}", path.shown)
}

/// Appends the bytes that the inside of a JSON string stands for. The JSON is known to be well-formed.
fn unescape(mut raw: &[u8], out: &mut Vec<u8>) {
    out.reserve(raw.len());
    while let Some(at) = memchr::memchr(b'\\', raw) {
        out.extend_from_slice(&raw[..at]);
        let (letter, mut length) = (raw[at + 1], 2);
        match letter {
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => length = unescape_unit(&raw[at..], out),
            itself => out.push(itself),
        }
        raw = &raw[at + length..];
    }
    out.extend_from_slice(raw);
}

/// Appends the character of one `\uXXXX`, or of two that are a surrogate pair; gives the length of what it read.
fn unescape_unit(raw: &[u8], out: &mut Vec<u8>) -> usize {
    let unit = |at: usize| {
        let digits = raw.get(at + 2..at + 6).filter(|_| raw[at..].starts_with(b"\\u"))?;
        u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()
    };
    let high = unit(0).expect("JSON is well-formed");
    match unit(6) {
        Some(low @ 0xdc00..=0xdfff) if (0xd800..=0xdbff).contains(&high) => {
            push_code_point(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), out);
            12
        }
        _ => {
            push_code_point(high, out);
            6
        }
    }
}

/// UTF-8's scheme, for surrogates too.
fn push_code_point(code: u32, out: &mut Vec<u8>) {
    let tail = |shift: u32| 0x80 | (code >> shift & 0x3f) as u8;
    match code {
        0..0x80 => out.push(code as u8),
        0x80..0x800 => out.extend([0xc0 | (code >> 6) as u8, tail(0)]),
        0x800..0x10000 => out.extend([0xe0 | (code >> 12) as u8, tail(6), tail(0)]),
        _ => out.extend([0xf0 | (code >> 18) as u8, tail(12), tail(6), tail(0)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(field: &str) -> Reader {
        Reader::new(&Common { field: field.to_string(), ..Common::default() }).unwrap()
    }

    fn text(field: &str, line: &str) -> Result<String, String> {
        reader(field).text(line.as_bytes()).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    #[test]
    fn a_path_leads_through_objects_and_arrays() {
        let line = r#"{"x": 1, "a": {"b": [{"c": "no"}, {"c": "yes"}], "text": "no"}, "t.t": "dot", "text": "top"}"#;
        assert_eq!(text("a.b.1.c", line).unwrap(), "yes");
        assert_eq!(text("text", line).unwrap(), "top");
        assert_eq!(text(r"t\.t", line).unwrap(), "dot");
        assert_eq!(text("a.b.2.c", line).unwrap_err(), r#"field "a.b.2.c": missing"#);
        assert_eq!(text("a.b.2", line).unwrap_err(), r#"field "a.b.2": missing"#);
        assert_eq!(text("x.y", line).unwrap_err(), r#"field "x.y": missing"#);
    }

    #[test]
    fn wrong_types_are_named() {
        for (value, found) in
            [("5", "number"), ("null", "null"), ("true", "boolean"), ("{}", "object"), ("[]", "array")]
        {
            let expected = format!(r#"field "text": expected a string, found {found}"#);
            assert_eq!(text("text", &format!(r#"{{"text": {value}}}"#)).unwrap_err(), expected);
        }
    }

    #[test]
    fn bad_lines_are_described() {
        assert_eq!(text("text", "").unwrap_err(), "expected a JSON object, found an empty line");
        assert_eq!(text("text", "[1]").unwrap_err(), "expected a JSON object");
        assert_eq!(
            text("text", r#"{"text": "a"} x"#).unwrap_err(),
            "not JSON: trailing characters at byte 15 of the line"
        );
        assert_eq!(
            text("text", r#"{"text": "a", "b": NaN}"#).unwrap_err(),
            "not JSON: expected value at byte 20 of the line"
        );
        assert_eq!(reader("text").text(b"{\"text\": \"\xff\"}").unwrap_err(), "not UTF-8: byte 11 of the line");
        assert!(text("text", r#"{"text": "a"#).unwrap_err().starts_with("not JSON: EOF while parsing a string"));
    }

    #[test]
    fn names_are_those_of_the_object_itself() {
        let all = |line: &str| {
            let mut all = Vec::new();
            names(line.as_bytes(), |name| all.push(name.to_string())).map(|()| all)
        };
        assert_eq!(all(r#" {"a": {"b": [1]}, "\u0063": "\ud800"} "#).unwrap(), ["a", "c"]);
        assert!(all("{}").unwrap().is_empty());
        assert_eq!(all("[1]").unwrap_err(), "expected a JSON object");
        assert_eq!(all("{} x").unwrap_err(), "not JSON: trailing characters at byte 4 of the line");
        assert!(all(r#"{"a": 1"#).unwrap_err().starts_with("not JSON: EOF"));
    }

    #[test]
    fn of_equal_names_the_last_wins() {
        assert_eq!(text("text", r#"{"text": "a", "text": "b"}"#).unwrap(), "b");
        assert_eq!(text("a.b", r#"{"a": {"b": "x"}, "a": {"c": 1}}"#).unwrap_err(), r#"field "a.b": missing"#);
    }

    #[test]
    fn escapes_become_bytes() {
        let mut reader = reader("text");
        let line = br#"{"text": "q\" \\ \/ \b\f\n\r\t \u0041\u00e9\u20ac\ud83d\ude00 \ud800 \udc00\ud800x", "n": 1}"#;
        let expected =
            b"q\" \\ / \x08\x0c\n\r\t A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \xed\xa0\x80 \xed\xb0\x80\xed\xa0\x80x";
        assert_eq!(reader.text(line).unwrap(), expected);
        assert_eq!(text("a\u{e9}", r#"{"a\u00e9": "name"}"#).unwrap(), "name");
    }

    #[test]
    fn a_template_joins_fields() {
        let template =
            |template: &str| Reader::new(&Common { template: Some(template.to_string()), ..Common::default() });
        let mut reader = template("Q: {q} {{x}} A: {a.b}.").unwrap();
        assert_eq!(reader.text(br#"{"a": {"b": "yes"}, "q": "why"}"#).unwrap(), b"Q: why {x} A: yes.");
        assert!(reader.text(br#"{"q": "why"}"#).is_err());
        for wrong in ["no field", "{", "a } b", "{a", "{}", "{a..b}"] {
            assert!(matches!(template(wrong), Err(Failure::Usage(_))), "{wrong}");
        }
    }

    #[test]
    fn lists_of_tokens_are_read_and_only_the_first_must_be_there() {
        let common = Common { id_field: Some("id".to_string()), ..Common::default() };
        let mut reader = ListReader::new(&common, &["a.ids", "before"]).unwrap();
        let mut lists = [vec![9], vec![9]];
        let line = br#"{"a": {"ids": [1, 4294967295]}, "before": [7], "id": "x"}"#;
        assert_eq!(reader.read(line, &mut lists).unwrap(), b"x");
        assert_eq!(lists, [vec![1, u32::MAX], vec![7]]);
        reader.read(br#"{"a": {"ids": []}, "id": "x"}"#, &mut lists).unwrap();
        assert_eq!(lists, [[0; 0], [0; 0]]);
        for (line, wrong) in [
            (r#"{"id": "x"}"#, r#"field "a.ids": missing"#),
            (r#"{"a": {"ids": "1"}, "id": "x"}"#, r#"field "a.ids": expected a list of tokens, found string"#),
            (r#"{"a": {"ids": [1.5]}, "id": "x"}"#, "expected a list of whole numbers from 0 to 4294967295"),
            (r#"{"a": {"ids": [-1]}, "id": "x"}"#, "expected a list of whole numbers"),
            (r#"{"a": {"ids": [1]}, "before": null, "id": "x"}"#, r#"field "before": expected a list of tokens"#),
            (r#"{"a": {"ids": [1]}}"#, r#"field "id": missing"#),
        ] {
            let found = reader.read(line.as_bytes(), &mut lists).unwrap_err();
            assert!(found.contains(wrong), "{found}");
        }
        let mut reader = ListReader::new(&Common::default(), &["ids"]).unwrap();
        assert_eq!(reader.read(br#"{"ids": [1]}"#, &mut [Vec::new()]).unwrap(), br#"{"ids": [1]}"#);
    }

    #[test]
    fn an_identity_is_text_or_a_whole_number() {
        let common = Common { id_field: Some("id".to_string()), ..Common::default() };
        let mut reader = Reader::new(&common).unwrap();
        assert_eq!(reader.document(br#"{"id": "a\u0041", "text": "t"}"#).unwrap(), (&b"t"[..], &b"aA"[..]));
        assert_eq!(reader.document(br#"{"id": -12, "text": "t"}"#).unwrap(), (&b"t"[..], &b"-12"[..]));
        assert_eq!(
            reader.document(br#"{"id": 1.5, "text": "t"}"#).unwrap_err(),
            r#"field "id": expected a string or a whole number, found number"#
        );
    }
}
