//! Whether the token that begins texts stands before each.

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bos {
    /// What the tokenizer puts there by itself.
    #[default]
    Auto,
    /// That token, but where the text begins with it.
    Yes,
    /// Nothing.
    No,
}

impl Bos {
    /// All, by name.
    pub const NAMES: [(&'static str, Bos); 3] = [("auto", Bos::Auto), ("yes", Bos::Yes), ("no", Bos::No)];

    /// What stands before texts, where the tokenizer puts `own` there by itself and `token` is the one that begins
    /// texts.
    ///
    /// # Errors
    /// Those of `token`, which is asked where the answer is yes.
    pub fn before<E>(self, own: &[u32], token: impl FnOnce() -> Result<u32, E>) -> Result<Vec<u32>, E> {
        match self {
            Bos::Auto => Ok(own.to_vec()),
            Bos::Yes => Ok(vec![token()?]),
            Bos::No => Ok(Vec::new()),
        }
    }

    /// Whether `before` goes before the tokens of this text: what is asked for, not a second time.
    pub fn goes_before(self, before: &[u32], text: &[u32]) -> bool {
        self != Bos::Yes || !text.starts_with(before)
    }
}
