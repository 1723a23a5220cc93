//! What goes with what on a command line, as data: checked by the parser, printed in the manual.

use crate::failure::Failure;

/// The name that stands for the operands in a [`Term`].
pub const OPERANDS: &str = "FILE";

/// Something a command line may say: `name` (the flag is given), `name=value` (it has that value, given or by default),
/// `name>N` (it has a value above N), or [`OPERANDS`] (there are operands).
pub type Term = &'static str;

/// What goes with what. The last field of each says why, and what to do instead; it completes a sentence after a colon.
#[derive(Debug, Clone, Copy)]
pub enum Rule {
    /// The flag must be given.
    Needed(&'static str, &'static str),
    /// At least one of them must hold.
    AnyOf(&'static [Term], &'static str),
    /// Exactly one of them must hold.
    OneOf(&'static [Term], &'static str),
    /// No two of them go together.
    AtMostOne(&'static [Term], &'static str),
    /// The first goes with none of the others.
    Excludes(Term, &'static [Term], &'static str),
    /// The first is of no use without at least one of the others.
    Needs(Term, &'static [Term], &'static str),
    /// These have a meaning only where one of the second holds.
    OnlyWith(&'static [Term], &'static [Term], &'static str),
    /// Where it holds, no operands are read, nor standard input in their place. `a&b`: where both hold.
    NoOperands(Term, &'static str),
}

/// What a command line says.
pub trait Said {
    /// Whether a term holds.
    fn holds(&self, term: Term) -> bool;
}

/// Refuses what a rule forbids.
///
/// # Errors
/// [`Failure::Usage`]: the flags, the reason, and what to do instead.
pub fn check(rules: &[Rule], said: &impl Said) -> Result<(), Failure> {
    rules.iter().try_for_each(|rule| match refusal(rule, said) {
        Some(what) => Err(Failure::usage(format!("{what}: {}", why(rule)))),
        None => Ok(()),
    })
}

fn refusal(rule: &Rule, said: &impl Said) -> Option<String> {
    let holds = |term: &&Term| said.holds(term);
    match *rule {
        Rule::Needed(flag, _) => (!said.holds(flag)).then(|| format!("{} is needed", shown(flag))),
        Rule::AnyOf(terms, _) => {
            (!terms.iter().any(|term| holds(&term))).then(|| format!("{} is needed", list(terms, "or")))
        }
        Rule::OneOf(terms, why) => {
            refusal(&Rule::AnyOf(terms, why), said).or_else(|| refusal(&Rule::AtMostOne(terms, why), said))
        }
        Rule::AtMostOne(terms, _) => {
            let mut held = terms.iter().filter(holds);
            let (first, second) = (held.next()?, held.next()?);
            Some(format!("{} does not go with {}", shown(first), shown(second)))
        }
        Rule::Excludes(term, others, _) => {
            let other = others.iter().find(holds).filter(|_| said.holds(term))?;
            Some(format!("{} does not go with {}", shown(term), shown(other)))
        }
        Rule::Needs(term, others, _) => {
            let lacks = said.holds(term) && !others.iter().any(|other| holds(&other));
            lacks.then(|| format!("{} needs {}", shown(term), list(others, "or")))
        }
        Rule::OnlyWith(terms, others, _) => {
            let term = terms.iter().find(holds).filter(|_| !others.iter().any(|other| holds(&other)))?;
            Some(format!("{} goes only with {}", shown(term), list(others, "or")))
        }
        Rule::NoOperands(term, _) => {
            let wrong = both(term, said) && said.holds(OPERANDS);
            wrong.then(|| format!("{} reads no operands, but there are some", shown(term)))
        }
    }
}

/// Whether a term of [`Rule::NoOperands`] holds.
pub fn both(term: Term, said: &impl Said) -> bool {
    term.split('&').all(|term| said.holds(term))
}

/// The rule as the manual says it: one sentence.
pub fn sentence(rule: &Rule) -> String {
    let what = match *rule {
        Rule::Needed(flag, _) => format!("{} is needed", code(flag)),
        Rule::AnyOf(terms, _) => format!("At least one of {} is needed", codes(terms, "and")),
        Rule::OneOf(terms, _) => format!("Exactly one of {} is needed", codes(terms, "and")),
        Rule::AtMostOne(terms, _) => format!("At most one of {} goes", codes(terms, "and")),
        Rule::Excludes(term, others, _) => format!("{} does not go with {}", code(term), codes(others, "or")),
        Rule::Needs(term, others, _) => format!("{} needs {}", code(term), codes(others, "or")),
        Rule::OnlyWith(terms, others, _) => {
            let verb = if terms.len() == 1 { "goes" } else { "go" };
            format!("{} {verb} only with {}", codes(terms, "and"), codes(others, "or"))
        }
        Rule::NoOperands(term, _) => format!("{} reads no operands", code(term)),
    };
    format!("{what}: {}.", why(rule))
}

/// The terms that a rule speaks of.
pub fn terms(rule: &Rule) -> Vec<Term> {
    match *rule {
        Rule::Needed(flag, _) => vec![flag],
        Rule::AnyOf(terms, _) | Rule::OneOf(terms, _) | Rule::AtMostOne(terms, _) => terms.to_vec(),
        Rule::Excludes(term, others, _) | Rule::Needs(term, others, _) => [&[term], others].concat(),
        Rule::OnlyWith(terms, others, _) => [terms, others].concat(),
        Rule::NoOperands(term, _) => term.split('&').collect(),
    }
}

/// The flag that a term speaks of.
pub fn name(term: Term) -> &'static str {
    term.split(['=', '>']).next().unwrap_or(term)
}

fn why(rule: &Rule) -> &'static str {
    match rule {
        Rule::Needed(_, why) | Rule::AnyOf(_, why) | Rule::OneOf(_, why) | Rule::AtMostOne(_, why) => why,
        Rule::Excludes(_, _, why) | Rule::Needs(_, _, why) | Rule::OnlyWith(_, _, why) | Rule::NoOperands(_, why) => {
            why
        }
    }
}

fn shown(term: Term) -> String {
    match term {
        OPERANDS => OPERANDS.to_string(),
        _ => format!("--{}", term.replace('=', " ").replace('>', " above ").replace('&', " with --")),
    }
}

fn code(term: Term) -> String {
    format!("`{}`", shown(term))
}

fn list(terms: &[Term], word: &str) -> String {
    joined(terms.iter().map(|term| shown(term)).collect(), word)
}

fn codes(terms: &[Term], word: &str) -> String {
    joined(terms.iter().map(|term| code(term)).collect(), word)
}

fn joined(mut words: Vec<String>, word: &str) -> String {
    match words.pop() {
        Some(last) if !words.is_empty() => format!("{} {word} {last}", words.join(", ")),
        Some(only) => only,
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Said for &[Term] {
        fn holds(&self, term: Term) -> bool {
            self.contains(&term)
        }
    }

    fn refused(rule: Rule, said: &[Term]) -> Option<String> {
        match check(&[rule], &said) {
            Err(Failure::Usage(message)) => Some(message),
            outcome => {
                outcome.unwrap();
                None
            }
        }
    }

    #[test]
    fn each_rule_refuses_what_it_says_and_no_more() {
        let refusals: [(Rule, &[Term], &[Term], &str); 9] = [
            (Rule::Needed("a", "w"), &[], &["a"], "--a is needed: w"),
            (Rule::AnyOf(&["a", "b"], "w"), &["c"], &["a", "b"], "--a or --b is needed: w"),
            (Rule::OneOf(&["a", "b", "c"], "w"), &["c", "a"], &["b"], "--a does not go with --c: w"),
            (Rule::AtMostOne(&["a", "b"], "w"), &["b", "a"], &[], "--a does not go with --b: w"),
            (Rule::Excludes("a", &["b", "c=x"], "w"), &["a", "c=x"], &["b", "c=x"], "--a does not go with --c x: w"),
            (Rule::Needs("a", &["b", "c"], "w"), &["a"], &["a", "c"], "--a needs --b or --c: w"),
            (Rule::OnlyWith(&["a", "b"], &["c>1"], "w"), &["b"], &["b", "c>1"], "--b goes only with --c above 1: w"),
            (
                Rule::NoOperands("a&b=x", "w"),
                &["a", "b=x", "FILE"],
                &["a", "FILE"],
                "--a with --b x reads no operands, but there are some: w",
            ),
            (Rule::NoOperands("a", "w"), &["a", "FILE"], &["a"], "--a reads no operands, but there are some: w"),
        ];
        for (rule, wrong, right, message) in refusals {
            assert_eq!(refused(rule, wrong).as_deref(), Some(message));
            assert_eq!(refused(rule, right), None, "{rule:?}");
        }
    }

    #[test]
    fn the_manual_says_each_rule_in_a_sentence() {
        let rule = Rule::OnlyWith(&["a", "b"], &["c=x"], "nothing else reads them");
        assert_eq!(sentence(&rule), "`--a` and `--b` go only with `--c x`: nothing else reads them.");
    }
}
