//! The list of programs is that of the folders in `tools`: each of them is held by the contract, and is where a user
//! looks for it.

use std::fs;
use std::path::{Path, PathBuf};

/// Programs whose operands are folders; the clauses on files speak of an input file.
const READ_FOLDERS: [&str; 2] = ["mds-merge", "mds-verify"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

fn programs() -> Vec<String> {
    let folders = fs::read_dir(root().join("tools")).expect("tools").map(|entry| entry.expect("an entry"));
    let programs = folders.filter(|folder| folder.path().join("Cargo.toml").exists());
    let mut names: Vec<_> = programs.map(|folder| folder.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    assert!(names.len() >= 12, "{names:?}");
    names
}

/// The groups that a program's tests call: `holds!(tool: GROUP, GROUP)`, or with a choice of clauses `holds!(@tests
/// tool GROUP: ...)`.
fn groups(program: &str) -> Vec<String> {
    let tests = root().join("tools").join(program).join("tests");
    let file = [tests.join("cli.rs"), tests.join("cli/main.rs")].into_iter().find(|path| path.exists());
    let source = text(&file.unwrap_or_else(|| panic!("{program}: expected tests/cli.rs or tests/cli/main.rs")));
    let calls = source.split("contract::holds!(").skip(1).filter_map(|call| call.split_once(')')?.0.split_once(':'));
    let groups = calls.map(|(before, behind)| if before.starts_with('@') { before } else { behind });
    groups.flat_map(|text| text.split([',', ' ']).map(|word| word.trim().to_string())).collect()
}

/// Whether a text speaks of a program, not only of one whose name begins so.
fn names(text: &str, program: &str) -> bool {
    let bounds = |letter: char| !(letter.is_ascii_alphanumeric() || letter == '-');
    text.replace("\\-", "-").split(bounds).any(|word| word == program)
}

#[test]
fn every_program_is_held_by_the_contract() {
    for program in programs() {
        let groups = groups(&program);
        let wants = |group: &str| assert!(groups.iter().any(|own| own == group), "{program}: not held to {group}");
        wants("manual");
        if !READ_FOLDERS.contains(&program.as_str()) {
            wants("files");
        }
    }
}

#[test]
fn every_program_is_where_users_look() {
    for file in ["README.md", "man/corpus-utils.7"] {
        let text = text(&root().join(file));
        for program in programs() {
            assert!(names(&text, &program), "{program} is not in {file}");
        }
    }
}

/// Its table says of each program what goes in, what comes out, and what is in memory meanwhile.
#[test]
fn the_readme_has_a_whole_row_for_every_program() {
    let readme = text(&root().join("README.md"));
    for program in programs() {
        let begin = format!("| [`{program}`](man/{program}.1) |");
        let row = readme.lines().find_map(|line| line.strip_prefix(&begin)?.strip_suffix('|'));
        let cells: Vec<_> = row.unwrap_or_else(|| panic!("{program} has no row")).split(" | ").map(str::trim).collect();
        assert!(cells.len() == 2 && cells.iter().all(|cell| !cell.is_empty()), "{program}: {cells:?}");
    }
}

#[test]
fn a_page_a_program() {
    let pages = fs::read_dir(root().join("man")).expect("man").map(|entry| entry.expect("an entry").path());
    let pages = pages.filter(|path| path.extension().is_some_and(|end| end == "1"));
    let mut pages: Vec<_> =
        pages.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
    pages.sort();
    assert_eq!(pages, programs(), "the pages in man, the folders in tools");
}

/// The sources below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// Tests in a program for which no harness is built would never run.
#[test]
fn a_program_without_a_harness_has_no_tests_in_it() {
    for program in programs() {
        let folder = root().join("tools").join(&program);
        let harness = !text(&folder.join("Cargo.toml")).contains("test = false");
        let sources =
            sources(&folder.join("src")).into_iter().filter(|path| path.extension().is_some_and(|end| end == "rs"));
        let tests = sources.into_iter().any(|path| text(&path).contains("#[cfg(test)]"));
        assert_eq!(harness, tests, "{program}: `test = false` goes with no tests in src");
    }
}
