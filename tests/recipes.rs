//! The recipes of corpus-utils-recipes(7), each run as it stands on the page, in a folder with the files that it says.
//!
//! Programs that are not ours are stood in for: a script of that name writes what the program would, so that what is
//! made of it is the page's own. scripts/agree-recipes runs the programs themselves.

use contract::corpus;
use contract::folder::Folder;
use contract::page::{Example, examples};
use contract::run::Run;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Scripts that stand in for programs.
const STAND_INS: [(&str, &str); 6] = [
    (
        "duckdb",
        r#"case "$*" in
        *docs.parquet*lines.jsonl*) sed 's/, "/,"/g; s/": /":/g' docs.jsonl > lines.jsonl ;;
        *picked.jsonl*picked.parquet*) cp picked.jsonl picked.parquet ;;
        *read_csv*weights.tsv*) wc -l < weights.tsv ;;
        esac"#,
    ),
    ("python3", "wc -l < weights.tsv"),
    ("duplodocus", "mkdir unique && head -n 300 corpus/docs.jsonl > unique/docs.jsonl"),
    ("decon", "mkdir clean && head -n 300 corpus/docs.jsonl | gzip > clean/docs.jsonl.gz"),
    ("xan", "cat"),
    // The jobs of `--wait --array=0-LAST --wrap SCRIPT`, one after another.
    ("sbatch", r#"for job in $(seq 0 "${2##*-}"); do SLURM_ARRAY_TASK_ID=$job sh -euc "$4"; done"#),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> String {
    fs::read_to_string(root().join("man/corpus-utils-recipes.7")).expect("the page is there")
}

/// The questions, and what answers each.
fn recipes(page: &str) -> Vec<(String, Vec<Example>)> {
    let section = page.split(".SH HOW DO I ...\n").nth(1).and_then(|rest| rest.split("\n.SH ").next());
    let recipes = section.expect("the section is there").split(".SS ").skip(1);
    let recipe = |recipe: &str| {
        let (question, answer) = recipe.split_once('\n')?;
        Some((question.to_string(), examples(&format!("{answer}\n"))))
    };
    recipes.filter_map(recipe).collect()
}

/// An answer of a server for embeddings to requests in the form of OpenAI's batches: the rows of an array of `<f4`, in
/// another order.
fn batch(vectors: &[u8], dim: usize) -> String {
    let numbers = vectors[128..].as_chunks().0.iter().map(|&number| f32::from_le_bytes(number).to_string());
    let numbers: Vec<_> = numbers.collect();
    let line = |(row, numbers): (usize, &[String])| {
        let vector = numbers.join(", ");
        format!(
            "{{\"id\": \"batch_{row}\", \"custom_id\": \"doc-{row:09}\", \"response\": {{\"status_code\": 200, \"body\": \
             {{\"data\": [{{\"index\": 0, \"embedding\": [{vector}]}}]}}}}, \"error\": null}}\n"
        )
    };
    let mut lines: Vec<_> = numbers.chunks(dim).enumerate().map(line).collect();
    lines.rotate_left(123);
    lines.swap(7, 300);
    lines.concat()
}

/// A folder with the files that the page begins with, and those that it makes of them.
fn files(page: &str) -> Folder {
    let folder = Folder::new();
    folder.write("docs.jsonl", corpus::documents(400));
    folder.write("target.jsonl", corpus::target(100));
    folder.write("tokenizer.json", include_str!("../lib/model/tests/data/tokens/llama.json"));
    let begin = examples(page.split(".SH HOW DO I ...\n").next().unwrap_or_default());
    begin.iter().for_each(|example| assert!(Run::shell(&example.command, &folder).output().is_empty()));
    folder.write("batch.jsonl", batch(&folder.read("vectors.npy"), 384));
    folder.write("docs.parquet", "");
    copy(&root().join("lib/model/tests/data/bert"), &folder.path().join("all-MiniLM-L6-v2"));
    fs::create_dir(folder.path().join("bin")).expect("a new folder");
    for (program, script) in STAND_INS {
        let path = folder.path().join("bin").join(program);
        fs::write(&path, format!("#!/bin/sh\nset -eu\n{script}\n")).expect("a new file");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("it is ours");
    }
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").map(|entry| entry.expect("an entry")) {
        let to = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &to),
            false => fs::copy(entry.path(), &to).map(|_| ()).expect("it is copied"),
        }
    }
}

fn run(command: &str, folder: &Folder) -> String {
    Run::shell(&format!("PATH=$PWD/bin:$PATH\n{command}"), folder).text()
}

#[test]
fn every_recipe_does_what_it_says() {
    let page = page();
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
    assert!(readme.contains("(man/corpus-utils-recipes.7)"), "the README links the page");
    let recipes = recipes(&page);
    assert_eq!(recipes.len(), 20, "questions");
    let begin = files(&page);
    let perl = Run::shell("perl -MJSON::PP -e 1", &begin).outcome().code == Some(0);
    for (question, examples) in recipes {
        assert!(question.ends_with('?') && !examples.is_empty(), "{question}");
        if !perl && examples.iter().any(|example| example.command.contains("JSON::PP")) {
            eprintln!("perl is not installed, or not with JSON::PP: not run: {question}");
            continue;
        }
        let folder = Folder::new();
        copy(begin.path(), folder.path());
        for Example { command, output } in examples {
            let printed = run(&command, &folder);
            assert!(output.is_empty() || printed == output, "{command}\nprints\n{printed}\nand should\n{output}");
        }
    }
}

/// The number of lines of a file.
fn lines(folder: &Folder, name: &str) -> usize {
    folder.read(name).iter().filter(|&&byte| byte == b'\n').count()
}

/// What some recipes leave, where the page does not show it.
#[test]
fn recipes_leave_what_was_asked_for() {
    let page = page();
    let begin = files(&page);
    let recipes = recipes(&page);
    let after = |question: &str| {
        let (_, examples) = recipes.iter().find(|recipe| recipe.0.contains(question)).expect("it is asked");
        let folder = Folder::new();
        copy(begin.path(), folder.path());
        examples.iter().for_each(|example| drop(run(&example.command, &folder)));
        folder
    };
    for question in ["by MinHash", "in the benchmarks"] {
        let folder = after(question);
        assert_eq!(lines(&folder, "chosen.jsonl"), 100, "{question}");
        let first = corpus::documents(300);
        assert!(folder.text("chosen.jsonl").lines().all(|line| first.contains(line)), "{question}");
    }
    let kept = after("nearly the same");
    assert!((1..400).contains(&lines(&kept, "kept.jsonl")), "some are near-duplicates");
    let sample = after("do not like");
    let clusters = sample.text("clusters.tsv");
    let of_excluded = |(line, row): &(&str, &str)| {
        ["3", "7"].contains(&row.split('\t').next().unwrap_or_default()) && sample.text("sample.jsonl").contains(line)
    };
    let docs = corpus::documents(400);
    assert_eq!(docs.lines().zip(clusters.lines()).filter(of_excluded).count(), 0, "documents of excluded clusters");
}
