//! The examples of every manual page, run in order as they stand there, in a folder with `docs.jsonl`, `target.jsonl`,
//! `tokenizer.json`, `tokens.npy`, instructions in `alpaca.jsonl`, and tiny models that go by the names of real ones.

use contract::corpus;
use contract::folder::Folder;
use contract::page::{Example, examples};
use contract::run::{Run, program};
use std::fs;
use std::path::Path;

/// What stands under EXAMPLES.
fn section(page: &str) -> String {
    let rest = page.split(".SH EXAMPLES\n").nth(1).unwrap_or_default();
    rest.split("\n.SH ").next().unwrap_or_default().to_string()
}

/// The names of all tools: the folders of `tools`.
fn tools() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools");
    let entries = fs::read_dir(folder).expect("the tools are in tools");
    let mut names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// A model in a folder of this name.
fn write_model(folder: &Folder, name: &str, fixture: &str) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/model/tests/data").join(fixture);
    fs::create_dir(folder.path().join(name)).expect("a new folder");
    for entry in fs::read_dir(from).expect("the model is there").map(|entry| entry.expect("an entry")) {
        let to = folder.path().join(name).join(entry.file_name());
        fs::copy(entry.path(), to).expect("it is copied");
    }
}

#[test]
fn every_example_of_every_tool_does_what_it_says() {
    assert!(tools().len() >= 4);
    for tool in tools() {
        let folder = Folder::new();
        folder.write("docs.jsonl", corpus::documents(400));
        folder.write("target.jsonl", corpus::target(100));
        folder.write("tokenizer.json", include_str!("../lib/model/tests/data/tokens/llama.json"));
        folder.write("tokens.npy", corpus::tokens(&[10, 8, 12]));
        folder.write("alpaca.jsonl", "{\"instruction\": \"Name a colour.\", \"output\": \"Blue.\"}\n");
        write_model(&folder, "pythia-70m", "causal-gpt-neox");
        write_model(&folder, "fineweb-edu-classifier", "classify-bert-score");
        folder.write("lid.176.ftz", include_bytes!("../lib/model/tests/data/fasttext/pruned.ftz"));
        folder.write("fasttext-oh-eli5.bin", include_bytes!("../lib/model/tests/data/fasttext/hq.bin"));
        let page = Run::new(program(&tool), &folder).args(["--man"]).text();
        let examples = examples(&section(&page));
        assert!(examples.iter().any(|example| example.command.contains(&tool)), "{tool} is in none of its examples");
        for Example { command, output } in examples {
            let printed = Run::shell(&command, &folder).text();
            assert!(output.is_empty() || printed == output, "{command}\nprints\n{printed}\nand should\n{output}");
        }
    }
}

/// The pipelines of corpus-utils(7): the first, and the same with the makefile over parts.
#[test]
fn the_makefile_of_the_overview_chooses_the_same() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("man/corpus-utils.7"));
    let page = page.expect("corpus-utils(7) is there").replace("\\-", "-").replace("\\&", "").replace("\\e\n", "\\\n");
    let page = page.replace("-n 1000", "-n 100").replace("COUNT=1000", "COUNT=100");
    let page = page.replace("-f dsir.mk", &format!("-f '{}'", root.join("scripts/dsir.mk").display()));
    let blocks: Vec<_> = page.split(".RS 4\n").skip(1).filter_map(|block| block.split(".RE\n").next()).collect();
    let block = |with: &str| {
        *blocks.iter().find(|block| block.contains(with)).unwrap_or_else(|| panic!("{with}: no such block"))
    };
    let folder = Folder::new();
    folder.write("docs.jsonl", corpus::documents(1000));
    folder.write("target.jsonl", corpus::target(100));
    Run::shell(block("chosen.jsonl\n"), &folder).output();
    let expected = folder.read("chosen.jsonl");
    assert_eq!(expected.iter().filter(|&&byte| byte == b'\n').count(), 100);
    if Run::shell("command -v make", &folder).outcome().code != Some(0) {
        eprintln!("make is not installed: its example is not run");
        return;
    }
    Run::shell("rm chosen.jsonl; split -n l/3 --additional-suffix .jsonl docs.jsonl part.", &folder).output();
    // The samples that it plans by are of few words, which topk-resample notes.
    Run::shell(block("COUNT=100"), &folder).outcome().expect(0);
    assert!(folder.read("chosen.jsonl") == expected);
}
