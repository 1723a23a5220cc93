//! What becomes of the samples of a shard, and the flags that say so.

use super::{Hash, LEVEL};
use pipe::flags::{Flag, Options};

/// How shards are stored.
#[derive(Debug, Clone)]
pub struct Storage {
    /// Bytes of a shard before compression.
    pub size_limit: u64,
    /// The level of zstd; `None`: shards are not compressed.
    pub compression: Option<i32>,
    /// Sums in the index, in order.
    pub hashes: Vec<Hash>,
    /// Keep what an earlier run has written, where it is the same.
    pub resume: bool,
}

impl Default for Storage {
    fn default() -> Storage {
        // The limit is Mosaic's.
        Storage { size_limit: 1 << 26, compression: None, hashes: Vec::new(), resume: false }
    }
}

/// Options with it in them.
pub trait Stores: Options {
    /// How shards are stored.
    fn storage(&mut self) -> &mut Storage;
}

/// `--size-limit BYTES`.
pub const fn size_limit<A: Stores>() -> Flag<A> {
    Flag::value(
        "size-limit",
        "BYTES",
        "The most bytes of a shard of mds, before compression",
        "One sequence may be more. Below 4 GiB: `1000`, `64K`, `256M`, `1G`.",
        |args: &mut A, value| {
            args.storage().size_limit = match value.bytes()? {
                size if (1..1 << 32).contains(&size) => size,
                _ => return Err("expected 1 byte or more, and less than 4 GiB".to_string()),
            };
            Ok(())
        },
    )
    .output()
    .default(|_| Storage::default().size_limit.to_string())
}

/// `--compression zstd[:LEVEL]`.
pub const fn compression<A: Stores>() -> Flag<A> {
    Flag::value(
        "compression",
        "zstd[:LEVEL]",
        "Compress the shards of mds",
        "With level 3 unless one of 1 to 22 is said.",
        |args: &mut A, value| {
            args.storage().compression = Some(level(value.text()?)?);
            Ok(())
        },
    )
    .output()
}

/// `--hashes NAME,...`.
pub const fn hashes<A: Stores>() -> Flag<A> {
    Flag::value(
        "hashes",
        "NAME,...",
        "Sums of each shard for the index of mds",
        "sha256, xxh3_128, xxh3_64.",
        |args: &mut A, value| {
            args.storage().hashes = names(value.text()?)?;
            Ok(())
        },
    )
    .output()
}

/// `--resume`.
pub const fn resume<A: Stores>() -> Flag<A> {
    Flag::switch("resume", "Go on where an interrupted run stopped", "", |args: &mut A, _| {
        args.storage().resume = true;
        Ok(())
    })
    .output()
}

fn level(text: &str) -> Result<i32, String> {
    let level = match text.strip_prefix("zstd") {
        Some("") => Some(LEVEL),
        Some(rest) => rest.strip_prefix(':').and_then(|level| level.parse().ok()),
        None => None,
    };
    level
        .filter(|level| (1..=22).contains(level))
        .ok_or_else(|| "expected zstd or zstd:LEVEL with LEVEL from 1 to 22".to_string())
}

fn names(text: &str) -> Result<Vec<Hash>, String> {
    let hashes: Option<Vec<_>> = text.split(',').map(Hash::of).collect();
    let mut hashes =
        hashes.ok_or_else(|| "expected sha256, xxh3_128 or xxh3_64, with commas between them".to_string())?;
    // The index has them in the order of their names, each once.
    hashes.sort_unstable();
    hashes.dedup();
    Ok(hashes)
}
