//! From SentencePiece's pieces back to text.
//!
//! Each `▁` is a space. The one that normalizing puts in front goes: of the first piece with something to show, or,
//! where the model removes spaces at the ends, of all pieces before anything is shown. What controls is not shown, what
//! is unknown is a text of the model's. Pieces of bytes become characters together; a byte that begins none becomes
//! U+FFFD.

use super::Failed;

/// What a piece shows in texts.
pub enum Surface {
    /// A text, which may begin with the space that is put in front of texts.
    Text {
        /// The text with its spaces.
        text: String,
        /// Whether it begins with one.
        has_space: bool,
    },
    /// One for all that is unknown.
    Unknown,
    /// Nothing.
    Hidden,
    /// A byte.
    Byte(u8),
}

impl Surface {
    /// A piece of text.
    pub fn text(piece: &str) -> Surface {
        Surface::Text { text: piece.replace('▁', " "), has_space: piece.starts_with('▁') }
    }

    /// A piece that stands for a byte, by its name.
    pub fn byte(piece: &str) -> Result<Surface, Failed> {
        let is_byte = |byte: &u8| piece == format!("<0x{byte:02X}>");
        let byte = (0..=255).find(is_byte);
        byte.map(Surface::Byte).ok_or_else(|| Failed(format!("piece {piece:?}: expected the name of a byte")))
    }
}

/// All pieces of a model.
pub struct Surfaces {
    /// By id.
    pub pieces: Vec<Surface>,
    /// What is shown for what is unknown.
    pub unknown: String,
    /// Whether a space goes at the beginning.
    pub drops_space: bool,
    /// Whether all do.
    pub drops_spaces: bool,
}

impl Surfaces {
    /// The text of some ids.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Failed> {
        let (mut text, mut bytes) = (String::new(), Vec::new());
        let (mut is_first, mut has_dropped) = (true, false);
        for &id in ids {
            let surface = self.pieces.get(id as usize);
            let surface =
                surface.ok_or_else(|| Failed(format!("token {id}: expected 0 to {}", self.pieces.len() - 1)))?;
            if let Surface::Byte(byte) = surface {
                bytes.push(*byte);
                continue;
            }
            write_characters(&mut bytes, &mut text);
            is_first &= !has_dropped && text.is_empty();
            has_dropped = false;
            match surface {
                Surface::Text { text: piece, has_space } => {
                    let drops = is_first && *has_space && self.drops_space;
                    has_dropped = drops && !self.drops_spaces;
                    text.push_str(&piece[usize::from(drops)..]);
                }
                Surface::Unknown => text.push_str(&self.unknown),
                Surface::Hidden | Surface::Byte(_) => {}
            }
        }
        write_characters(&mut bytes, &mut text);
        Ok(text)
    }
}

/// Appends the characters that bytes are, and empties them. Unlike [`String::from_utf8_lossy`], each wrong byte is one
/// U+FFFD.
fn write_characters(bytes: &mut Vec<u8>, text: &mut String) {
    for part in bytes.utf8_chunks() {
        text.push_str(part.valid());
        part.invalid().iter().for_each(|_| text.push(char::REPLACEMENT_CHARACTER));
    }
    bytes.clear();
}
