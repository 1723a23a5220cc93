//! What `--split` says: several samples that share no document.

use pipe::apportion;

/// The parts, by name.
#[derive(Debug, Clone, PartialEq)]
pub enum Split {
    /// So many documents each.
    Numbers(Vec<(String, u64)>),
    /// Each its share of the documents, in percent, together at most 100.
    Percent(Vec<(String, f64)>),
}

/// Whether this can be the name of a part, and so of a file.
pub fn is_name(name: &str) -> bool {
    let sensible = name.chars().all(|letter| letter.is_alphanumeric() || "-_.".contains(letter));
    !name.is_empty() && !name.starts_with('.') && sensible
}

impl Split {
    /// Reads `NAME=N,...` or `NAME=P%,...`.
    ///
    /// # Errors
    /// It is something else; the message says what was expected.
    pub fn parse(text: &str) -> Result<Split, String> {
        let expected = "expected NAME=N or NAME=P%, with commas between them";
        let pairs: Option<Vec<_>> = text.split(',').map(|part| part.split_once('=')).collect();
        let pairs = pairs.ok_or(expected)?;
        for (place, (name, _)) in pairs.iter().enumerate() {
            if !is_name(name) {
                return Err(format!("{name:?}: expected a name of letters, digits, -, _ and ."));
            }
            if pairs[..place].iter().any(|(other, _)| other == name) {
                return Err(format!("{name} comes twice"));
            }
        }
        let percent = pairs.iter().filter(|(_, size)| size.ends_with('%')).count();
        if percent == 0 {
            let number =
                |size: &str| pipe::value::Value(size.into()).number().ok().filter(|&count: &u64| count < 1 << 48);
            let one = |(name, size): (&str, &str)| Some((name.to_string(), number(size)?));
            return Ok(Split::Numbers(pairs.into_iter().map(one).collect::<Option<_>>().ok_or(expected)?));
        }
        if percent < pairs.len() {
            return Err("expected numbers of documents or shares in percent, not both".to_string());
        }
        let number =
            |size: &str| size.trim_end_matches('%').parse().ok().filter(|share: &f64| (0.0..=100.0).contains(share));
        let one = |(name, size): (&str, &str)| Some((name.to_string(), number(size)?));
        let shares: Vec<_> = pairs.into_iter().map(one).collect::<Option<_>>().ok_or(expected)?;
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        if sum > 100.0 + 1e-9 {
            Err(format!("{sum} %: expected 100 % at the most"))
        } else {
            Ok(Split::Percent(shares))
        }
    }

    /// The names.
    pub fn names(&self) -> Vec<&str> {
        match self {
            Split::Numbers(parts) => parts.iter().map(|(name, _)| name.as_str()).collect(),
            Split::Percent(parts) => parts.iter().map(|(name, _)| name.as_str()).collect(),
        }
    }

    /// How many documents each part gets, where there are so many in all.
    pub fn numbers(&self, documents: u64) -> Vec<(String, u64)> {
        match self {
            Split::Numbers(parts) => parts.clone(),
            Split::Percent(parts) => {
                let given: f64 = parts.iter().map(|(_, share)| share).sum();
                let shares: Vec<f64> =
                    parts.iter().map(|(_, share)| *share).chain([(100.0 - given).max(0.0)]).collect();
                let numbers = apportion::exact(&shares, &vec![u64::MAX; shares.len()], documents);
                parts.iter().zip(numbers).map(|((name, _), number)| (name.clone(), number)).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percents_are_shares_of_the_documents() {
        let of = |text: &str, documents| {
            Split::parse(text).unwrap().numbers(documents).into_iter().map(|(_, n)| n).collect::<Vec<_>>()
        };
        assert_eq!(of("train=98%,val=1%,test=1%", 1000), [980, 10, 10]);
        assert_eq!(of("train=98%,val=1%,test=1%", 57), [55, 1, 1]);
        assert_eq!(of("a=50%,b=0.5%", 1000), [500, 5]);
        assert_eq!(of("a=1K,b=2", 9), [1000, 2]);
    }

    #[test]
    fn what_is_no_split_is_refused() {
        for (text, said) in [
            ("train", "expected NAME=N"),
            ("a=1,a=2", "a comes twice"),
            ("../a=1", "\"../a\": expected a name"),
            ("=1", "\"\": expected a name"),
            ("a=1,b=2%", "not both"),
            ("a=60%,b=41%", "101 %: expected 100 % at the most"),
            ("a=-1%", "expected NAME=N or NAME=P%"),
            ("a=x", "expected NAME=N or NAME=P%"),
        ] {
            assert!(Split::parse(text).unwrap_err().contains(said), "{text}");
        }
    }
}
