//! Which tokens begin and end texts. A tokenizer.json does not say; the files beside it do, or the tokens' names.

use crate::Error;
use crate::json::Settings;
use std::path::Path;

/// One end of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// The beginning.
    Bos,
    /// The end.
    Eos,
}

/// Files that may name the tokens.
const FILES: [&str; 2] = ["tokenizer_config.json", "special_tokens_map.json"];

impl Edge {
    fn field(self) -> &'static str {
        match self {
            Edge::Bos => "bos_token",
            Edge::Eos => "eos_token",
        }
    }

    /// Completes "a token that".
    pub fn does(self) -> &'static str {
        match self {
            Edge::Bos => "begins texts",
            Edge::Eos => "ends texts",
        }
    }

    fn usual(self) -> [&'static str; 6] {
        match self {
            Edge::Bos => ["<s>", "<bos>", "<|begin_of_text|>", "[BOS]", "<|endoftext|>", "[CLS]"],
            Edge::Eos => ["</s>", "<eos>", "<|end_of_text|>", "[EOS]", "<|endoftext|>", "[SEP]"],
        }
    }

    /// The token of the tokenizer.json at `path`, by the files beside it, or by the usual names if there is just one of
    /// them.
    pub fn find(self, path: &Path, id: impl Fn(&str) -> Option<u32>) -> Result<u32, Error> {
        for name in FILES {
            let beside = path.with_file_name(name);
            let settings = Settings::read_if_there(&beside)?;
            let content = [self.field(), "content"].join(".");
            let token = match settings.get(&[&content]) {
                Some(_) => settings.text(&[&content])?,
                None => settings.text(&[self.field()])?,
            };
            if let Some(token) = token {
                return id(token)
                    .ok_or_else(|| Error::new(&beside, format!("{}: {token:?} is no token", self.field())));
            }
        }
        let usual: Vec<_> = self.usual().into_iter().filter_map(|token| Some((token, id(token)?))).collect();
        match usual[..] {
            [(_, id)] => Ok(id),
            [] => Err(Error::new(
                path,
                format!("no token of a usual name {}: expected --{}-token TOKEN", self.does(), &self.field()[..3]),
            )),
            _ => {
                let names: Vec<_> = usual.iter().map(|(token, _)| *token).collect();
                let why = format!(
                    "{} all may be what {}: expected --{}-token TOKEN",
                    names.join(" "),
                    self.does(),
                    &self.field()[..3]
                );
                Err(Error::new(path, why))
            }
        }
    }
}
