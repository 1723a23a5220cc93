//! How byte-level tokenizers cut texts into words: the regular expressions of GPT-2, of GPT-4, Llama 3 and Qwen 2, and
//! of GPT-4o and Llama 4, by hand, with no limit to how far they look ahead and go back; any other as it is, where a
//! limit that is met is an error.
//!
//! GPT-2: `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
//!
//! GPT-4: `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
//! ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`, with one digit a word in Qwen's.
//!
//! GPT-4o: `[^\r\n\p{L}\p{N}]?U*L+C?|[^\r\n\p{L}\p{N}]?U+L*C?|\p{N}{1,3}|
//! ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`, where `U` is `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`, `L` is
//! `[\p{Ll}\p{Lm}\p{Lo}\p{M}]` and `C` is `(?i:'s|'t|'re|'ve|'m|'ll|'d)`; with one digit a word and without `C?` in
//! Mistral's.

use super::Failed;
use super::letters::{Case, Cases, Class, Letters};
use super::window::{Starts, Window};
use fancy_regex::{Regex, RegexBuilder};

/// How far a pattern that is not known may go back in one search. One that goes through a text in proportion to its
/// length never gets there; another would take for ever.
const STEPS_BACK_MAX: usize = 1 << 30;

/// Who takes the words of a text, in order.
pub trait Take<'t> {
    /// Takes the word of this length that the rest of the text begins with.
    ///
    /// # Errors
    /// Why it cannot be taken.
    fn word(&mut self, rest: &'t str, length: usize) -> Result<(), Failed>;

    /// Takes the words of a window at the beginning of the rest of the text.
    ///
    /// # Errors
    /// Why one cannot be taken.
    fn words(&mut self, rest: &'t str, mut starts: Starts) -> Result<(), Failed> {
        starts.try_for_each(|(start, end)| self.word(&rest[start..], end - start))
    }
}

/// How words are found.
pub enum Pattern {
    /// GPT-2's.
    Gpt2,
    /// GPT-4's, with at most so many digits a word.
    Gpt4 {
        /// 3, or 1 in Qwen's.
        digits: usize,
    },
    /// GPT-4o's.
    Gpt4o {
        /// 3, or 1 in Mistral's.
        digits: usize,
        /// Whether `'s` and its kin go with the word before them.
        contractions: bool,
        /// Which letters are upper case.
        cases: Box<Cases>,
    },
    /// Any other.
    Other(Box<Regex>),
}

impl Pattern {
    /// The pattern that a `Split` pre-tokenizer names; `None`: it is none.
    pub fn of_regex(regex: &str) -> Option<Pattern> {
        let contraction = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
        let gpt4 = |digits: &str| {
            let (word, rest) = (r"[^\r\n\p{L}\p{N}]?\p{L}+", r"\s*[\r\n]+|\s+(?!\S)|\s+");
            format!(r"{contraction}|{word}|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|{rest}")
        };
        let gpt4o = |digits, contractions| Pattern::Gpt4o { digits, contractions, cases: Box::new(Cases::new()) };
        match regex {
            r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+" => Some(Pattern::Gpt2),
            _ if regex == gpt4("{1,3}") => Some(Pattern::Gpt4 { digits: 3 }),
            _ if regex == gpt4("") => Some(Pattern::Gpt4 { digits: 1 }),
            _ if regex == gpt4o_regex("{1,3}", &format!("{contraction}?")) => Some(gpt4o(3, true)),
            _ if regex == gpt4o_regex("", "") => Some(gpt4o(1, false)),
            _ => {
                RegexBuilder::new(regex).backtrack_limit(STEPS_BACK_MAX).build().ok().map(Box::new).map(Pattern::Other)
            }
        }
    }

    /// Gives away the words of the text, which are the whole text, until one is not taken.
    ///
    /// # Errors
    /// Those of `take`, and where a pattern that is not known meets a limit.
    #[inline]
    pub fn split<'t>(&self, letters: &Letters, text: &'t str, take: &mut impl Take<'t>) -> Result<(), Failed> {
        if let Pattern::Other(regex) = self {
            return split_by(regex, text, take);
        }
        let mut left = text;
        while !left.is_empty() {
            let starts = match self {
                Pattern::Gpt2 => Window::new(left.as_bytes()).gpt2(),
                Pattern::Gpt4 { digits } => Window::new(left.as_bytes()).gpt4(*digits),
                Pattern::Gpt4o { .. } | Pattern::Other(_) => Starts::NONE,
            };
            let mut end = starts.end();
            if end > 0 {
                take.words(left, starts)?;
            } else {
                end = self.first(Rest { letters, text: left });
                take.word(left, end)?;
            }
            left = &left[end..];
        }
        Ok(())
    }

    /// The length of the first word.
    fn first(&self, rest: Rest) -> usize {
        match self {
            Pattern::Gpt2 => rest.gpt2(),
            Pattern::Gpt4 { digits } => rest.gpt4(*digits),
            Pattern::Gpt4o { digits, contractions, cases } => rest.gpt4o(*digits, *contractions, cases),
            Pattern::Other(_) => unreachable!("it is not by hand"),
        }
    }
}

fn gpt4o_regex(digits: &str, contractions: &str) -> String {
    let before = r"[^\r\n\p{L}\p{N}]?";
    let (upper, lower) = (r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]");
    let words = format!("{before}{upper}*{lower}+{contractions}|{before}{upper}+{lower}*{contractions}");
    format!(r"{words}|\p{{N}}{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
}

/// Words are what a pattern finds, and what lies between.
fn split_by<'t>(regex: &Regex, text: &'t str, take: &mut impl Take<'t>) -> Result<(), Failed> {
    let mut word = |start, end| if start == end { Ok(()) } else { take.word(&text[start..], end - start) };
    let mut end = 0;
    for found in regex.find_iter(text) {
        let place = format_args!("the pattern that cuts words, behind byte {end} of the text");
        let found = found.map_err(|why| Failed(format!("{place}: {why}")))?;
        word(end, found.start())?;
        word(found.start(), found.end())?;
        end = found.end();
    }
    word(end, text.len())
}

/// What is left of a text.
struct Rest<'t> {
    letters: &'t Letters,
    text: &'t str,
}

impl Rest<'_> {
    fn at(&self, at: usize) -> Option<(char, Class)> {
        let letter = match self.text.as_bytes().get(at)? {
            byte if byte.is_ascii() => char::from(*byte),
            _ => self.text[at..].chars().next()?,
        };
        Some((letter, self.letters.class(letter)))
    }

    fn class(&self, at: usize) -> Option<Class> {
        self.at(at).map(|(_, class)| class)
    }

    /// Where the run of this class that goes on at `at` ends.
    fn run(&self, class: Class, mut at: usize) -> usize {
        while let Some((letter, found)) = self.at(at).filter(|&(_, found)| found == class) {
            debug_assert_eq!(found, class);
            at += letter.len_utf8();
        }
        at
    }

    /// `\s+(?!\S)|\s+`: all white space but the last character, unless it is the only one or the text ends.
    fn white_space(&self) -> usize {
        let end = self.run(Class::Space, 0);
        let last = self.text[..end].chars().next_back().map_or(0, char::len_utf8);
        if end == self.text.len() || end == last { end } else { end - last }
    }

    fn gpt2(&self) -> usize {
        let bytes = self.text.as_bytes();
        if bytes[0] == b'\'' {
            let length = match bytes[1..] {
                [b's' | b't' | b'm' | b'd', ..] => 2,
                [b'r' | b'v', b'e', ..] | [b'l', b'l', ..] => 3,
                _ => 0,
            };
            if length > 0 {
                return length;
            }
        }
        let start = usize::from(bytes[0] == b' ');
        match self.class(start) {
            Some(Class::Space) | None => self.white_space(),
            Some(class) => self.run(class, start),
        }
    }

    fn gpt4(&self, digits: usize) -> usize {
        if let Some(length) = self.contraction(0) {
            return length;
        }
        let Some((first, class)) = self.at(0) else { return 0 };
        let behind = first.len_utf8();
        let is_line_end = |letter: char| matches!(letter, '\r' | '\n');
        match class {
            Class::Letter => return self.run(Class::Letter, 0),
            Class::Number => return self.numbers(digits),
            _ if !is_line_end(first) && self.class(behind) == Some(Class::Letter) => {
                return self.run(Class::Letter, behind);
            }
            _ => {}
        }
        let marks = self.marks(first, |byte| matches!(byte, b'\r' | b'\n'));
        marks.unwrap_or_else(|| self.lines_or_space())
    }

    /// ` ?[^\s\p{L}\p{N}]+` and the bytes behind that go with it.
    fn marks(&self, first: char, goes_with: impl Fn(u8) -> bool) -> Option<usize> {
        let start = usize::from(first == ' ');
        if self.class(start) != Some(Class::Other) {
            return None;
        }
        let end = self.run(Class::Other, start);
        Some(end + self.text.as_bytes()[end..].iter().take_while(|&&byte| goes_with(byte)).count())
    }

    /// `\s*[\r\n]+|\s+(?!\S)|\s+`
    fn lines_or_space(&self) -> usize {
        let end = self.run(Class::Space, 0);
        match self.text.as_bytes()[..end].iter().rposition(|byte| matches!(byte, b'\r' | b'\n')) {
            Some(last) => last + 1,
            None => self.white_space(),
        }
    }

    fn gpt4o(&self, digits: usize, contractions: bool, cases: &Cases) -> usize {
        let Some((first, class)) = self.at(0) else { return 0 };
        if let Some(end) = self.cased_word(first, class, cases) {
            return end + if contractions { self.contraction(end).unwrap_or(0) } else { 0 };
        }
        if class == Class::Number {
            return self.numbers(digits);
        }
        let marks = self.marks(first, |byte| matches!(byte, b'\r' | b'\n' | b'/'));
        marks.unwrap_or_else(|| self.lines_or_space())
    }

    /// `[^\r\n\p{L}\p{N}]?U*L+|[^\r\n\p{L}\p{N}]?U+L*`, where each is tried with the character in front before it is
    /// without.
    fn cased_word(&self, first: char, class: Class, cases: &Cases) -> Option<usize> {
        let may_be_in_front = !matches!(class, Class::Letter | Class::Number) && !matches!(first, '\r' | '\n');
        let front = may_be_in_front.then(|| first.len_utf8());
        let starts = || front.into_iter().chain([0]);
        let upper = |start| self.case_run(cases, start, |case| matches!(case, Case::Upper | Case::Either));
        let capitals = |start| Some(upper(start)).filter(|&end| end > start);
        starts().find_map(|start| self.lower_end(cases, start, upper(start))).or_else(|| starts().find_map(capitals))
    }

    /// `U*L+` from `start`, where the run of `U` ends at `upper_end`: `U*` gives back as little as leaves something for
    /// `L+`.
    fn lower_end(&self, cases: &Cases, start: usize, upper_end: usize) -> Option<usize> {
        let end = self.case_run(cases, upper_end, |case| matches!(case, Case::Lower | Case::Either));
        if end > upper_end {
            return Some(end);
        }
        let mut run = self.text[start..upper_end].char_indices();
        let (at, last) = run.rfind(|&(_, letter)| cases.case(letter) == Case::Either)?;
        Some(start + at + last.len_utf8())
    }

    /// Where the run of letters of these cases that goes on at `at` ends.
    fn case_run(&self, cases: &Cases, at: usize, is_in: impl Fn(Case) -> bool) -> usize {
        let end = self.text[at..].char_indices().find(|&(_, letter)| !is_in(cases.case(letter)));
        end.map_or(self.text.len(), |(end, _)| at + end)
    }

    fn numbers(&self, digits: usize) -> usize {
        let mut end = 0;
        for _ in 0..digits {
            match self.at(end) {
                Some((letter, Class::Number)) => end += letter.len_utf8(),
                _ => break,
            }
        }
        end
    }

    /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)` at `at`, where `s` is also the long one.
    fn contraction(&self, at: usize) -> Option<usize> {
        let bytes = &self.text.as_bytes()[at..];
        if bytes.first() != Some(&b'\'') {
            return None;
        }
        let lower = |at: usize| bytes.get(at).map(u8::to_ascii_lowercase);
        match (lower(1), lower(2)) {
            (Some(b's' | b't' | b'm' | b'd'), _) => Some(2),
            (Some(b'r' | b'v'), Some(b'e')) | (Some(b'l'), Some(b'l')) => Some(3),
            _ if self.text[at + 1..].starts_with('ſ') => Some(1 + 'ſ'.len_utf8()),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the files of the tokenizers have them.
    const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
    const GPT4: &str = concat!(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    );
    const GPT4O: &str = concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|",
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    );
    const MISTRAL: &str = concat!(
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|",
        r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    );
    const LETTERS: &str =
        "aBcÉßſΣςǅʰªºאー日\u{301}\u{93f}'''''sStTmMdDrReEvVlL019²½٣!/?.,-_…\u{200d}🙂 \t\u{a0}\u{3000}\r\n\n   ";

    impl<'t> Take<'t> for Vec<&'t str> {
        fn word(&mut self, rest: &'t str, length: usize) -> Result<(), Failed> {
            self.push(&rest[..length]);
            Ok(())
        }
    }

    fn words<'t>(pattern: &Pattern, letters: &Letters, text: &'t str) -> Result<Vec<&'t str>, String> {
        let mut words = Vec::new();
        pattern.split(letters, text, &mut words).map(|()| words).map_err(|why| why.0)
    }

    #[test]
    fn words_by_hand_are_those_of_the_pattern() {
        let letters = Letters::new();
        let parts: Vec<char> = LETTERS.chars().collect();
        let ascii: Vec<char> = LETTERS.chars().filter(char::is_ascii).collect();
        let mut state = 5_u64;
        let mut below = |end: usize| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize % end
        };
        for regex in [GPT2, GPT4, &GPT4.replace("{1,3}", ""), GPT4O, MISTRAL] {
            let (pattern, other) = (Pattern::of_regex(regex).unwrap(), Regex::new(regex).unwrap());
            assert!(!matches!(pattern, Pattern::Other(_)), "{regex}");
            let other = Pattern::Other(Box::new(other));
            // Short texts of all letters, and long ones with few that are not ASCII.
            for turn in 0..30_000 {
                let (length, kinds) = if turn < 20_000 { (12, &parts[..]) } else { (200, &ascii[..]) };
                let rare = below(100) == 0;
                let letter = |at| if rare && at == 0 { 'é' } else { kinds[at % kinds.len()] };
                let text: String = (0..below(length)).map(|_| letter(below(kinds.len() * 4))).collect();
                assert_eq!(words(&pattern, &letters, &text), words(&other, &letters, &text), "{regex}: {text:?}");
            }
        }
    }

    /// The crate of regular expressions gives up on some of these, which the reference takes for the end of the text.
    #[test]
    fn known_patterns_have_no_limit() {
        let letters = Letters::new();
        for regex in [GPT2, GPT4, GPT4O, MISTRAL] {
            let pattern = Pattern::of_regex(regex).unwrap();
            for run in [" ", "\t", "A", "a", "é", "!", "\u{301}"] {
                let text = run.repeat(1_500_000) + "x y";
                let words = words(&pattern, &letters, &text).unwrap();
                assert!(words.concat() == text && words.len() <= 4, "{regex} {run:?}: {}", words.len());
            }
        }
    }

    #[test]
    fn a_limit_that_is_met_is_an_error() {
        let letters = Letters::new();
        let pattern = Pattern::of_regex(r"\s+(?!\S)|\s*x(?=y)|\S").unwrap();
        assert!(matches!(pattern, Pattern::Other(_)));
        assert_eq!(words(&pattern, &letters, "  ab").unwrap(), [" ", " ", "a", "b"]);
        let long = format!("a {}b", " ".repeat(1_500_000));
        let met = words(&pattern, &letters, &long).unwrap_err();
        assert!(met.starts_with("the pattern that cuts words, behind byte 1 of the text: "), "{met}");
    }
}
