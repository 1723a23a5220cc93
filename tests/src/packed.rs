//! Bytes packed as gzip and zstd, in one part and in several.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// One gzip member.
pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory can be written to");
    encoder.finish().expect("memory can be written to")
}

/// One zstd frame.
pub fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).expect("memory can be written to")
}

/// The bytes cut into parts at places that are no line ends, each packed, one after another; an empty part among them.
pub fn in_parts(pack: fn(&[u8]) -> Vec<u8>, bytes: &[u8]) -> Vec<u8> {
    let third = bytes.len() / 3;
    let parts = [&bytes[..third], b"", &bytes[third..2 * third + 1], &bytes[2 * third + 1..]];
    parts.map(pack).concat()
}
