//! What a file is, by its first bytes: compressed text is read, other formats are named with the command that makes
//! lines of them.

use std::io::{self, Read};

/// As many first bytes as tell all formats apart.
const LENGTH: usize = 10;

/// The byte order mark of UTF-8, which Windows' programs put in front of text.
pub(crate) const BOM: &[u8] = b"\xef\xbb\xbf";

/// What the readers unpack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packing {
    Gzip,
    Zstd,
}

/// What has no lines, and the command that makes lines of `FILE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Foreign {
    name: &'static str,
    command: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Packed(Packing),
    Text,
    Foreign(Foreign),
}

const fn foreign(name: &'static str, command: &'static str) -> Format {
    Format::Foreign(Foreign { name, command })
}

/// First bytes and what they mean; the longer of two that begin alike comes first.
const FORMATS: &[(&[u8], Format)] = &[
    // The third byte is the only method of compression there is: two bytes alone begin many a file of numbers.
    (b"\x1f\x8b\x08", Format::Packed(Packing::Gzip)),
    (b"\x28\xb5\x2f\xfd", Format::Packed(Packing::Zstd)),
    // A skippable frame, with which parallel compressors begin. The first byte may be any up to 0x5f.
    (b"\x50\x2a\x4d\x18", Format::Packed(Packing::Zstd)),
    (BOM, Format::Text),
    (b"PAR1\x15", foreign("Parquet", "duckdb -c \"COPY (FROM 'FILE') TO '/dev/stdout' (FORMAT json)\"")),
    (
        b"ARROW1\0\0",
        foreign("Arrow", "python3 -c 'import polars, sys; polars.read_ipc(\"FILE\").write_ndjson(sys.stdout.buffer)'"),
    ),
    (
        b"\xff\xff\xff\xff",
        foreign(
            "an Arrow stream",
            "python3 -c 'import polars, sys; polars.read_ipc_stream(\"FILE\").write_ndjson(sys.stdout.buffer)'",
        ),
    ),
    // The fourth byte may be any digit from 1.
    (b"BZh91AY&SY", foreign("bzip2", "bzcat FILE")),
    (b"\xfd7zXZ\x00", foreign("xz", "xzcat FILE")),
    (b"\x04\x22\x4d\x18", foreign("LZ4", "lz4cat FILE")),
    (b"PK\x03\x04", foreign("zip", "unzip -p FILE")),
    (b"7z\xbc\xaf\x27\x1c", foreign("7-Zip", "7z x -so FILE")),
    (b"\xff\xfe\x00\x00", foreign("UTF-32", "iconv -f UTF-32 -t UTF-8 FILE")),
    (b"\xff\xfe", foreign("UTF-16", "iconv -f UTF-16 -t UTF-8 FILE")),
    (b"\xfe\xff", foreign("UTF-16", "iconv -f UTF-16 -t UTF-8 FILE")),
    (b"{\x00\"\x00", foreign("UTF-16", "iconv -f UTF-16LE -t UTF-8 FILE")),
    (b"\x00{\x00\"", foreign("UTF-16", "iconv -f UTF-16BE -t UTF-8 FILE")),
];

/// The first bytes, as few as it takes to tell what it is, so that a slow pipe is not waited for.
pub(crate) fn first_bytes(reader: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut first = vec![0; LENGTH];
    let mut length = 0;
    while length == 0 || is_undecided(&first[..length]) {
        match reader.read(&mut first[length..]) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) => return Err(why),
        }
    }
    first.truncate(length);
    Ok(first)
}

/// Whether more bytes could make another format of it.
fn is_undecided(first: &[u8]) -> bool {
    let first = canonical(first);
    // Gzip's fourth byte, its flags, is looked at, too.
    let longer = |magic: &[u8]| magic.len() > first.len() && magic.starts_with(&first);
    first == FORMATS[0].0 || FORMATS.iter().any(|(magic, _)| longer(magic))
}

/// The same with the one byte that stands for all that may be in its place.
fn canonical(first: &[u8]) -> Vec<u8> {
    match first {
        [0x50..=0x5f] => vec![0x50],
        [0x50..=0x5f, 0x2a, rest @ ..] => [&[0x50, 0x2a], rest].concat(),
        [b'B', b'Z', b'h', b'1'..=b'8', rest @ ..] => [b"BZh9", rest].concat(),
        _ => first.to_vec(),
    }
}

fn of(first: &[u8]) -> Format {
    let canonical = canonical(first);
    let found = FORMATS.iter().find(|(magic, _)| canonical.starts_with(magic)).map(|&(_, format)| format);
    match found {
        // The upper three flags are not used.
        Some(Format::Packed(Packing::Gzip)) if first.get(3).is_none_or(|flags| flags & 0xe0 != 0) => Format::Text,
        found => found.unwrap_or(Format::Text),
    }
}

/// How what begins so is packed.
pub(crate) fn packing(first: &[u8]) -> Option<Packing> {
    match of(first) {
        Format::Packed(packing) => Some(packing),
        _ => None,
    }
}

/// What begins so, if it has no lines.
pub(crate) fn without_lines(first: &[u8]) -> Option<Foreign> {
    match of(first) {
        Format::Foreign(format) => Some(format),
        _ => None,
    }
}

impl Foreign {
    /// What to say of a file of this format; `name` is what messages call it.
    pub(crate) fn describe(self, name: &str) -> String {
        let file = if name == "<stdin>" { "FILE" } else { name };
        let Foreign { name, command } = self;
        format!("is {name}, which has no lines of text; this makes some: {}", command.replace("FILE", file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a reader that gives one byte at a time is asked for.
    struct Slow<'a>(&'a [u8]);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.read(&mut buffer[..1])
        }
    }

    #[test]
    fn formats_are_known_however_slowly_they_come() {
        for (bytes, expected) in [
            (&b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"[..], Format::Packed(Packing::Gzip)),
            (b"\x28\xb5\x2f\xfd\x24", Format::Packed(Packing::Zstd)),
            (b"\x5f\x2a\x4d\x18\x04\x00", Format::Packed(Packing::Zstd)),
            (b"PAR1\x15\x04", of(b"PAR1\x15")),
            (b"BZh11AY&SY\x00", of(b"BZh91AY&SY")),
            (b"\xff\xfe{\x00", of(b"\xff\xfe")),
            (b"{\x00\"\x00t\x00", of(b"{\x00\"\x00")),
        ] {
            let (quick, slow) = (first_bytes(&mut &bytes[..]).unwrap(), first_bytes(&mut Slow(bytes)).unwrap());
            assert_eq!((of(&quick), of(&slow)), (expected, expected), "{bytes:?}");
            assert_ne!(expected, Format::Text);
        }
    }

    #[test]
    fn numbers_and_lines_are_no_format() {
        for bytes in [
            &b""[..],
            b"\x1f",
            b"\x1f\x8b",
            b"\x1f\x8b\x08",
            b"\x1f\x8b\x00\x3c",
            b"\x1f\x8b\x08\x3c",
            b"{",
            b"{}\n",
            b"{\x00\x00",
            b"1\n",
            b"PAR1\n",
            b"BZh\n",
            b"\xef\xbb\xbf{}",
        ] {
            let slow = first_bytes(&mut Slow(bytes)).unwrap();
            assert_eq!((of(bytes), of(&slow)), (Format::Text, Format::Text), "{bytes:?}");
        }
    }

    #[test]
    fn a_line_is_not_waited_behind() {
        for (bytes, read) in [(&b"{}\n{}\n"[..], 2), (b"1\n2\n", 1), (b"X\n2\n", 2), (b"PA\nPA", 3)] {
            assert_eq!(first_bytes(&mut Slow(bytes)).unwrap().len(), read, "{bytes:?}");
        }
    }
}
