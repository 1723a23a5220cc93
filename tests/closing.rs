//! What a file system puts off until a file is closed, and then cannot do, is an error.

use contract::corpus;
use contract::folder::Folder;
use contract::run::{Outcome, Run};
use std::path::Path;
use std::process::Command;

/// A folder with documents and a stand-in for `close`. `None`, and says so, where it cannot be compiled.
fn folder() -> Option<Folder> {
    let folder = Folder::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("close_fails.c");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o", "close.so"]).arg(source).current_dir(folder.path());
    let Ok(done) = compiler.status() else {
        assert!(std::env::var_os("REQUIRE_EMULATION").is_none(), "REQUIRE_EMULATION is set, and there is no cc");
        eprintln!("skipped: no cc here to compile a stand-in for close with");
        return None;
    };
    assert!(done.success());
    folder.write("docs.jsonl", corpus::documents(9));
    Some(folder)
}

fn run(fails: &str, rest: &str, folder: &Folder) -> Outcome {
    let limits = format!("export CLOSE_FAILS='{fails}' LD_PRELOAD=./close.so");
    Run::shell(&format!("{limits}; exec ngram-hash docs.jsonl {rest}"), folder).outcome()
}

#[test]
fn a_file_that_cannot_be_closed_does_not_appear() {
    let Some(folder) = folder() else { return };
    let outcome = run("stats", "--stats stats", &folder);
    outcome.expect(1);
    assert_eq!(outcome.stderr, "ngram-hash: stats: Disk quota exceeded\n");
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!((folder.has("stats"), left), (false, 2));
}

#[test]
fn standard_output_that_cannot_be_closed_is_an_error() {
    let Some(folder) = folder() else { return };
    let outcome = run("/counts", "> counts", &folder);
    outcome.expect(1);
    assert_eq!(outcome.stderr, "ngram-hash: <stdout>: Disk quota exceeded\n");
    run("/other", "> counts", &folder).expect(0);
}
