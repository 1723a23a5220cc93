//! A flag has one name, one form of value and one first sentence in all programs: held against the committed manual
//! pages, which the contract holds against the programs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A flag as a page shows it.
#[derive(PartialEq, Eq, Debug, Clone)]
struct Shown {
    value: String,
    summary: String,
}

/// Flags whose alternatives are those of the data or of what is done with it: what can be stored, which kinds of models
/// there are, what a long text can be made into.
const ALTERNATIVES_DIFFER: &[&str] = &["dtype", "format", "long", "model"];

/// The longest summary.
const SUMMARY_MAX: usize = 60;

fn plain(roff: &str) -> String {
    let mut text = roff.replace("\\-", "-").replace("\\(ti", "~").replace("\\(ha", "^").replace("\\&", "");
    for font in ["\\fB", "\\fI", "\\fR"] {
        text = text.replace(font, "");
    }
    text.replace("\\e", "\\")
}

/// The flags of a page.
fn flags(page: &str) -> Vec<(String, Shown)> {
    let options = page.split(".SH OPTIONS\n").nth(1).and_then(|rest| rest.split("\n.SH ").next()).expect("options");
    let flag = |text: &str| {
        let mut lines = text.lines();
        let heading = plain(lines.next()?);
        let named = &heading[heading.find("--")? + 2..];
        let (name, value) = named.split_once(' ').unwrap_or((named, ""));
        let summary = plain(lines.next()?);
        let shown = Shown { value: value.to_string(), summary: summary.trim_end_matches('.').to_string() };
        Some((name.to_string(), shown))
    };
    options.split(".TP\n").skip(1).map(|text| flag(text).expect("a flag and its text")).collect()
}

fn pages() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../man");
    let files = fs::read_dir(folder).expect("man").map(|entry| entry.expect("an entry").path());
    let mut pages: Vec<_> = files.filter(|path| path.extension().is_some_and(|end| end == "1")).collect();
    pages.sort();
    let name = |path: &Path| path.file_stem().expect("a name").to_string_lossy().into_owned();
    pages.iter().map(|path| (name(path), fs::read_to_string(path).expect("a page"))).collect()
}

#[test]
fn a_flag_is_the_same_in_all_programs() {
    let mut first: BTreeMap<String, (String, Shown)> = BTreeMap::new();
    let mut different = Vec::new();
    for (program, page) in pages() {
        for (name, shown) in flags(&page) {
            let (elsewhere, known) = first.entry(name.clone()).or_insert((program.clone(), shown.clone()));
            let first_of = |value: &str| value.split('|').next().map(str::to_string);
            let alternatives = ALTERNATIVES_DIFFER.contains(&name.as_str())
                && (known.value.contains('|') && shown.value.contains('|')
                    || first_of(&known.value) == first_of(&shown.value));
            if known.summary != shown.summary || known.value != shown.value && !alternatives {
                different.push(format!("--{name}: {elsewhere}: {known:?}, {program}: {shown:?}"));
            }
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
}

#[test]
fn summaries_fit_a_line() {
    let all = pages()
        .into_iter()
        .flat_map(|(program, page)| flags(&page).into_iter().map(move |flag| (program.clone(), flag)));
    let long = all.filter(|(_, (_, shown))| shown.summary.chars().count() > SUMMARY_MAX);
    let long: Vec<_> = long.map(|(program, (name, shown))| format!("{program} --{name}: {}", shown.summary)).collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}
