//! The makefiles of `scripts`, over parts as a user would run them: the bytes are those of the plain pipes, and only
//! what is not as it should be is made anew.

use contract::corpus;
use contract::folder::Folder;
use contract::run::{Run, programs};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

const ROWS: usize = 600;
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts");

/// What a script prints; it must end well and have nothing to say.
fn sh(folder: &Folder, script: &str) -> String {
    Run::shell(script, folder).text()
}

/// The programs that make runs, in the order in which they begin; none where everything is there.
fn made(folder: &Folder, line: &str) -> Vec<String> {
    let text = sh(folder, &format!("make -j 4 -f {SCRIPTS}/{line}"));
    let words = text.split_whitespace().filter(|word| word.contains('-') && programs().join(word).is_file());
    words.map(str::to_string).collect()
}

/// Documents in three parts of one corpus `docs.jsonl`, of which some are equal to the byte, and a target.
fn parts() -> Folder {
    let folder = Folder::new();
    let same = "{\"id\": 0, \"text\": \"corpus document sample weight model train target raw hash\"}\n";
    let lines = corpus::documents(ROWS);
    let lines = lines.split_inclusive('\n').enumerate();
    folder.write(
        "docs.jsonl",
        lines.map(|(row, line)| line.to_string() + if row % 9 == 0 { same } else { "" }).collect::<String>(),
    );
    folder.write("target.jsonl", corpus::target(60));
    folder.write("exclude", "2\n");
    sh(
        &folder,
        "head -n 190 docs.jsonl > a.jsonl; tail -n +191 docs.jsonl | head -n 200 > b.jsonl
         tail -n +391 docs.jsonl > c.jsonl",
    );
    folder
}

const PARTS: &str = "PARTS='a.jsonl b.jsonl c.jsonl'";

/// Whether programs that a test needs are there; says so where they are not.
fn there(folder: &Folder, programs: &[&str]) -> bool {
    let missing = |program: &&&str| Run::shell(&format!("command -v {program}"), folder).outcome().code != Some(0);
    let missing: Vec<_> = programs.iter().filter(missing).collect();
    if !missing.is_empty() {
        eprintln!("not there: {missing:?}: what needs them is not run");
    }
    missing.is_empty()
}

/// `scripts/kmeans.mk`, over files and over shards of one file, is one run of kmeans-fit over all of them.
#[test]
fn k_means_in_parts_is_k_means() {
    let folder = Folder::new();
    folder.write("docs.jsonl", corpus::documents(ROWS));
    let (fit, rule) = ("-k 12 --init random --seed 3", "--tol 0.002 --empty farthest");
    sh(
        &folder,
        "jsonl-embed --model hash:48 docs.jsonl > all.npy
         head -n 5 docs.jsonl | jsonl-embed --model hash:48 > a.npy
         tail -n +6 docs.jsonl | head -n 250 | jsonl-embed --model hash:48 --dtype f32 > b.npy
         tail -n +256 docs.jsonl | jsonl-embed --model hash:48 > c.npy",
    );
    if !there(&folder, &["make"]) {
        return;
    }
    for iters in [0, 2, 12] {
        let whole = Run::shell(&format!("kmeans-fit {fit} {rule} --iters {iters} all.npy"), &folder).outcome();
        whole.expect(0);
        for parts in [
            "PARTS='a.npy b.npy c.npy'",
            "PARTS=all.npy SHARDS=1",
            "PARTS=all.npy SHARDS=3",
            "PARTS=all.npy SHARDS=8 FANIN=2",
        ] {
            let make = format!("make -s -j 4 -f {SCRIPTS}/kmeans.mk ITERS={iters} {parts} FIT='{fit}' RULE='{rule}'");
            let made = Run::shell(&format!("rm -rf model.safetensors kmeans.parts; {make} model.safetensors"), &folder);
            made.outcome().expect(0);
            assert!(folder.read("model.safetensors") == whole.stdout, "{iters} iterations, {parts}");
        }
    }
}

/// `scripts/hir.mk` over parts is the pipe over the whole; another alpha mixes and chooses anew, another number only
/// chooses.
#[test]
fn hybrid_resampling_in_parts_is_that_of_the_whole() {
    let folder = Folder::new();
    if !there(&folder, &["make", "gmm-fit", "gmm-score"]) {
        return;
    }
    folder.write("docs.jsonl", corpus::documents(ROWS));
    folder.write("target.jsonl", corpus::target(60));
    sh(&folder, "head -n 190 docs.jsonl > a.jsonl; tail -n +191 docs.jsonl > b.jsonl");
    let expected = |alpha: &str, choice: &str| {
        sh(
            &folder,
            &format!(
                "ngram-hash docs.jsonl > raw.counts; ngram-hash target.jsonl > target.counts
                 dsir-weight --raw raw.counts --target target.counts docs.jsonl > ngram.tsv
                 jsonl-embed --model hash:16 docs.jsonl > raw.npy; jsonl-embed --model hash:16 target.jsonl > target.npy
                 gmm-fit -k 5 raw.npy > raw.gmm; gmm-fit -k 2 target.npy > target.gmm
                 gmm-score --mixture target.gmm --against raw.gmm raw.npy > gmm.tsv
                 weight-mix --alpha {alpha} --standardise ngram.tsv gmm.tsv > weights.tsv
                 topk-resample {choice} --weights weights.tsv docs.jsonl"
            ),
        )
    };
    let make = |alpha: &str, choice: &str, more: &str| {
        let fits = "MODEL=hash:16 RAW_FIT='-k 5' TARGET_FIT='-k 2'";
        let parts = "PARTS='a.jsonl b.jsonl'";
        made(&folder, &format!("hir.mk {parts} ALPHA={alpha} COUNT= CHOICE='{choice}' {fits} {more} chosen.jsonl"))
    };
    let short = "MIN_LENGTH=0";
    assert!(make("0.5", "-n 40", short).len() > 10);
    assert_eq!(folder.text("chosen.jsonl"), expected("0.5", "-n 40"));
    assert_eq!(make("0.5", "-n 40", short), [""; 0]);
    let choice = ["topk-resample"; 3];
    assert_eq!(make("0.25", "-n 40", short), [&["weight-mix"; 2][..], &choice].concat());
    assert_eq!(folder.text("chosen.jsonl"), expected("0.25", "-n 40"));
    assert_eq!(make("0.25", "-n 30", "MIN_LENGTH=2"), choice);
    assert_eq!(folder.text("chosen.jsonl"), expected("0.25", "-n 30 --min-length 2"));
    // A mixture over parts is that of the whole, to the end of the fit.
    let steps = make("0.25", "-n 30", "MIN_LENGTH=2 ITERS=100");
    assert!(steps.iter().filter(|program| *program == "gmm-step").count() == 101);
    assert_eq!(folder.text("chosen.jsonl"), expected("0.25", "-n 30 --min-length 2"));
    // So it is where its sums are added up in a tree.
    let tree =
        "hir.mk PARTS='a.jsonl b.jsonl' SHARDS=4 FANIN=2 ITERS=2 MODEL=hash:16 RAW_FIT='-k 5' DIR=tree tree/raw.gmm";
    let added = made(&folder, tree).iter().filter(|program| *program == "gmm-sum").count();
    assert_eq!(added, 3 * (8 + 4 + 2));
    sh(&folder, "gmm-fit -k 5 --iters 2 raw.npy | cmp - tree/raw.gmm");
}

/// `scripts/small2large.mk` chooses from an array and from lines alike, and another share only chooses anew.
#[test]
fn examples_that_are_still_being_learned_are_chosen_by_make() {
    let folder = Folder::new();
    if !there(&folder, &["make"]) {
        return;
    }
    let lines = corpus::documents(ROWS);
    let array = format!("\n [\n{}]", lines.trim_end().replace('\n', ",\n"));
    folder.write("array.json", &array);
    let row = |row: usize| format!("{}\t{}\t2\n", 9 + row % 7, 8 - row % 5);
    folder.write("p.tsv", (0..ROWS).map(row).collect::<String>());
    sh(&folder, "jsonl-from-json array.json > lines.jsonl");
    let make = |data: &str, share: &str, more: &str| {
        let flags = "PERPLEXITIES=p.tsv EMBED= MODEL=hash:16 K=6";
        made(&folder, &format!("small2large.mk DATA={data} SHARE={share} {flags} {more} chosen.jsonl random.jsonl"))
    };
    let expected = |share: &str, choice: &str| {
        sh(
            &folder,
            &format!(
                "jsonl-embed --model hash:16 lines.jsonl > v.npy; kmeans-fit -k 6 v.npy > c
                 kmeans-assign --centroids c v.npy > clusters.tsv; lp-rank p.tsv > lp.tsv
                 topk-resample {choice} --group clusters.tsv --per-group-fraction {share} --weights lp.tsv lines.jsonl"
            ),
        )
    };
    assert!(make("array.json", "0.2", "").len() >= 7);
    let (chosen, random) = (folder.text("chosen.jsonl"), folder.text("random.jsonl"));
    assert_eq!(chosen, expected("0.2", "--bottom --keys documents"));
    assert!(random.lines().count() == chosen.lines().count() && random != chosen);
    assert_eq!(make("array.json", "0.3", ""), ["topk-resample"; 2]);
    assert_eq!(folder.text("chosen.jsonl"), expected("0.3", "--bottom --keys documents"));
    let theirs = "CHOICE='--bottom --compat small2large'";
    assert_eq!(make("array.json", "0.3", theirs), ["topk-resample"]);
    assert_eq!(folder.text("chosen.jsonl"), expected("0.3", "--bottom --compat small2large"));
    sh(&folder, "rm -r small2large.parts");
    make("lines.jsonl", "0.2", "SHARDS=3 ITERS=100");
    assert_eq!((folder.text("chosen.jsonl"), folder.text("random.jsonl")), (chosen, random));
}

/// `scripts/small2large.mk` makes of checkpoints the perplexities that the training said of them; the examples, three
/// checkpoints of a tiny model and its perplexities are a run of `scripts/perplexities.py`.
#[test]
fn checkpoints_have_the_perplexities_of_their_training() {
    let folder = Folder::new();
    if !there(&folder, &["make"]) {
        return;
    }
    let run = concat!(env!("CARGO_MANIFEST_DIR"), "/data/small2large");
    sh(&folder, &format!("cp -r {run}/. ."));
    let make = |epochs: usize, more: &str| {
        let checkpoints: String = (0..epochs).map(|epoch| format!("checkpoints/{epoch} ")).collect();
        let flags = "DATA=examples.json PROMPTS=checkpoints/prompts.jsonl MODEL=hash:16 K=4 SHARE=0.3";
        let score = "SCORE='--prompt-field prompt --field output --eos --max-length 288'";
        let line = format!("small2large.mk CHECKPOINTS='{checkpoints}' {flags} {score} {more}");
        made(&folder, &format!("{line} EMBED='--field output' chosen.jsonl random.jsonl"))
    };
    let steps = make(3, "");
    assert_eq!(steps.iter().filter(|program| *program == "lm-score").count(), 3);
    let recorded = folder.text("perplexities.tsv");
    let found = sh(&folder, "paste small2large.parts/perplexity.[012].tsv");
    assert_eq!((found.lines().count(), recorded.lines().count()), (100, 100));
    let numbers = |text: &str| text.split_whitespace().map(|field| field.parse().expect("a number")).collect();
    let (found, recorded): (Vec<f64>, Vec<f64>) = (numbers(&found), numbers(&recorded));
    let missing = recorded.iter().filter(|number| number.is_nan()).count();
    assert!((1..30).contains(&missing) && (found.len(), recorded.len()) == (300, 300));
    for (found, recorded) in found.iter().zip(&recorded) {
        let same = (found / recorded - 1.0).abs() <= 1e-4 || found.is_nan() && recorded.is_nan();
        assert!(same, "{found}, expected {recorded}");
    }
    // The rest is that of perplexities that are given.
    let chosen = folder.text("chosen.jsonl");
    assert!(chosen.lines().count() >= 20);
    sh(&folder, "paste small2large.parts/perplexity.[012].tsv > ours.tsv; rm -r small2large.parts chosen.jsonl");
    assert!(!make(0, "PERPLEXITIES=ours.tsv").contains(&"lm-score".to_string()));
    assert_eq!(folder.text("chosen.jsonl"), chosen);
    // A checkpoint more is one column more.
    make(2, "");
    assert_eq!(make(3, ""), ["lm-score", "lp-rank", "topk-resample"]);
    assert_eq!(folder.text("chosen.jsonl"), chosen);
}

/// A causal model in the folder `model`.
fn write_model(folder: &Folder) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/model/tests/data/causal-gpt-neox");
    fs::create_dir(folder.path().join("model")).expect("a new folder");
    for entry in fs::read_dir(from).expect("the model is there").map(|entry| entry.expect("an entry")) {
        fs::copy(entry.path(), folder.path().join("model").join(entry.file_name())).expect("it is copied");
    }
}

/// `scripts/cepe.mk`: sequences out of texts, and beside each what a model expects, however many jobs there are, and
/// where a run was stopped.
#[test]
fn sequences_are_annotated_by_make() {
    let folder = Folder::new();
    if !there(&folder, &["make"]) {
        return;
    }
    write_model(&folder);
    folder.write("docs.jsonl", corpus::documents(ROWS));
    let flags = "LENGTH=6 PREV=8 CONTEXT=4 TOP=3 MODEL=model";
    let make = |jobs: usize, dir: &str, more: &str| {
        made(&folder, &format!("cepe.mk {flags} JOBS={jobs} DIR={dir} {more} cepe"))
    };
    let verified =
        |dir: &str| -> Value { serde_json::from_str(&sh(&folder, &format!("mds-verify {dir}"))).expect("it is JSON") };
    assert!(make(1, "one", "").len() >= 4);
    assert!(make(3, "three", "SCORE='--size-limit 2000'").len() >= 6);
    assert_eq!(make(3, "three", "SCORE='--size-limit 2000'"), [""; 0]);
    let sequences = verified("one/data")["samples"].as_u64().expect("a number");
    assert!(sequences > 30);
    assert_eq!(verified("three/data")["samples"], sequences);
    for dir in ["one", "three"] {
        assert_eq!(verified(&format!("{dir}/targets"))["samples"], sequences, "{dir}");
    }
    assert!(sh(&folder, "ls three/targets/*/shard.*.mds").lines().count() >= 6, "each part has several shards");
    // A part that is not finished is finished, and is what it was.
    let first = folder.read("three/targets/1/shard.00001.mds");
    let index = folder.read("three/targets/1/index.json");
    sh(&folder, "rm three/targets/index.json three/targets/1/index.json three/targets/1/shard.00001.mds");
    assert_eq!(make(3, "three", "SCORE='--size-limit 2000'"), ["lm-score", "mds-merge"]);
    assert!(folder.read("three/targets/1/shard.00001.mds") == first);
    assert!(folder.read("three/targets/1/index.json") == index);
}

/// `scripts/minicorpus-loss.mk`: clusters on which a model has a larger loss give more documents.
#[test]
fn clusters_of_larger_loss_give_more() {
    let folder = Folder::new();
    if !there(&folder, &["make"]) {
        return;
    }
    write_model(&folder);
    folder.write("docs.jsonl", corpus::documents(ROWS));
    let make = |more: &str| {
        let flags = "SCORER=model MODEL=hash:16 K=4 EACH=12 SCORE='--max-length 20'";
        made(&folder, &format!("minicorpus-loss.mk {flags} {more} chosen.jsonl"))
    };
    assert!(make("COUNT=100").len() >= 8);
    assert_eq!(folder.text("chosen.jsonl").lines().count(), 100);
    // Of each cluster, by hand: the mean over its documents in the sample.
    sh(&folder, "jsonl-key docs.jsonl | paste - loss.parts/0.clusters.tsv > keyed");
    let keyed = folder.text("keyed");
    let cluster_of = |key: &str| {
        let row = keyed.lines().find(|line| line.starts_with(key)).expect("a document of the sample");
        row.split('\t').nth(1).expect("a cluster").to_string()
    };
    let mut sums: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for row in folder.text("loss.parts/scores.tsv").lines() {
        let fields: Vec<&str> = row.split('\t').collect();
        let sum = sums.entry(cluster_of(fields[2])).or_default();
        *sum = (sum.0 + fields[0].parse::<f64>().expect("a loss"), sum.1 + 1.0);
    }
    let losses = folder.text("loss.parts/losses.tsv");
    let losses: Vec<Vec<&str>> = losses.lines().skip(1).map(|line| line.split('\t').collect()).collect();
    assert_eq!((losses.len(), sums.len()), (4, 4));
    for row in &losses {
        let (sum, count) = sums[row[0]];
        assert!((row[1].parse::<f64>().expect("a mean") - sum / count).abs() < 1e-9, "cluster {}", row[0]);
    }
    let mut again = make("COUNT=60");
    again.sort();
    assert_eq!(again, ["clip-sample", "clip-sample", "cluster-share"]);
    assert_eq!(folder.text("chosen.jsonl").lines().count(), 60);
}

/// `scripts/dsir.mk` is the pipe over the whole; another seed only chooses, another document is counted, and then all
/// is weighed; other parts than before are noticed.
#[test]
fn importance_resampling_in_parts_is_that_of_the_whole() {
    let folder = parts();
    if !there(&folder, &["make"]) {
        return;
    }
    let make =
        |parts: &str, more: &str| made(&folder, &format!("dsir.mk {parts} COUNT=250 MIN_LENGTH=3 {more} chosen.jsonl"));
    let expected = |docs: &str, choice: &str| {
        let pipe = "ngram-hash docs > raw.counts; ngram-hash target.jsonl > target.counts
             dsir-weight --raw raw.counts --target target.counts docs > weights.tsv
             topk-resample -n 250 --min-length 3 choice --weights weights.tsv docs";
        sh(&folder, &pipe.replace("docs", docs).replace("choice", choice))
    };
    let chosen = || folder.text("chosen.jsonl");
    assert_eq!(make(PARTS, "").len(), 3 + 1 + 1 + 3 + 1 + 3);
    assert_eq!(chosen(), expected("docs.jsonl", ""));
    assert!(make(PARTS, "").is_empty());
    assert_eq!(make(PARTS, "SEED=5"), ["topk-resample"; 4]);
    assert_eq!(chosen(), expected("docs.jsonl", "--seed 5"));
    // Shards of one file, and of several.
    make("PARTS=docs.jsonl SHARDS=7", "DIR=shards");
    assert_eq!(chosen(), expected("docs.jsonl", ""));
    // A document more in a part: the others are not counted again.
    sh(&folder, "head -n 1 a.jsonl | tee -a c.jsonl >> docs.jsonl");
    let again = make(PARTS, "");
    assert_eq!(again.iter().filter(|program| *program == "ngram-hash").count(), 2, "{again:?}");
    assert_eq!(chosen(), expected("docs.jsonl", ""));
    // Parts in another order, and fewer.
    make("PARTS='b.jsonl a.jsonl c.jsonl'", "");
    assert_eq!(chosen(), expected("b.jsonl a.jsonl c.jsonl", ""));
    make("PARTS='b.jsonl c.jsonl'", "");
    assert_eq!(chosen(), expected("b.jsonl c.jsonl", ""));
}

/// A thousand parts, the list of which is longer than an argument may be: their counts are those of the whole, added up
/// in a tree; what is missing is made anew, and nothing else.
#[test]
fn a_thousand_parts_are_added_up_in_a_tree() {
    let folder = Folder::new();
    if !there(&folder, &["make"]) {
        return;
    }
    let long = "long".repeat(40);
    fs::create_dir(folder.path().join(&long)).expect("a new folder");
    let documents = corpus::documents(1000);
    for (part, line) in documents.lines().enumerate() {
        folder.write(&format!("{long}/{part:03}.jsonl"), line);
    }
    folder.write("docs.jsonl", &documents);
    folder.write("target.jsonl", corpus::target(9));
    let make = |goal: &str| made(&folder, &format!("dsir.mk PARTS='$(sort $(wildcard {long}/*))' {goal}"));
    assert_eq!(make("dsir.parts/raw.counts").len(), 1000 + 10 + 1);
    sh(&folder, "ngram-hash docs.jsonl | cmp - dsir.parts/raw.counts");
    assert_eq!(make("dsir.parts/raw.counts"), [""; 0]);
    sh(&folder, "rm dsir.parts/123.counts dsir.parts/7.counts.1");
    assert_eq!(make("dsir.parts/raw.counts").len(), 4);
    // Parts that are fewer, and a lower tree.
    sh(&folder, &format!("rm {long}/[1-9]??.jsonl; head -n 100 docs.jsonl > few.jsonl"));
    assert_eq!(make("dsir.parts/raw.counts"), ["ngram-hash"]);
    sh(&folder, "ngram-hash few.jsonl | cmp - dsir.parts/raw.counts");
    let plan = sh(
        &folder,
        &format!("make -s -f {SCRIPTS}/dsir.mk FANIN=9 COUNT=1 MIN_LENGTH=0 PARTS='$(wildcard {long}/*)' plan"),
    );
    let jobs =
        |name: &str| plan.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_whitespace().nth(1));
    assert_eq!((jobs("raw.counts.1 "), jobs("raw.counts.2 "), jobs("raw.counts ")), (Some("12"), Some("2"), Some("1")));
}

/// Parts in a tree three levels high are the whole, to the last step.
#[test]
fn importance_resampling_in_a_tree_is_that_of_the_whole() {
    let folder = parts();
    if !there(&folder, &["make"]) {
        return;
    }
    let make = |more: &str| made(&folder, &format!("dsir.mk {PARTS} COUNT=250 MIN_LENGTH=3 {more} chosen.jsonl"));
    make("");
    let chosen = folder.text("chosen.jsonl");
    make("SHARDS=3 FANIN=2 DIR=tree");
    assert_eq!(folder.text("chosen.jsonl"), chosen);
    // Another tree adds up anew, and nothing comes of it.
    assert_eq!(make("SHARDS=3 FANIN=4 DIR=tree"), ["ngram-hash"; 4]);
    for fanin in ["0", "1"] {
        let refused = Run::shell(&format!("make -f {SCRIPTS}/dsir.mk {PARTS} FANIN={fanin} chosen.jsonl"), &folder);
        refused.outcome().expect_refusal(2, &[&format!("FANIN={fanin}: expected 2 or more")]);
    }
}

/// Two targets in the proportions of their sizes, and how far the choice is from the target.
#[test]
fn importance_resampling_by_make_takes_several_targets() {
    let folder = parts();
    if !there(&folder, &["make"]) {
        return;
    }
    sh(&folder, "head -n 40 a.jsonl > head.jsonl");
    made(
        &folder,
        &format!("dsir.mk {PARTS} TARGET='target.jsonl head.jsonl' COUNT=50 MIN_LENGTH=0 chosen.jsonl kl.tsv"),
    );
    let pipe = "for i in docs target head; do ngram-hash $i.jsonl > $i.counts; done
         dsir-weight --raw docs.counts --target target.counts --target head.counts docs.jsonl > w
         topk-resample -n 50 --target target.counts --target head.counts --weights w docs.jsonl";
    assert_eq!(folder.text("chosen.jsonl"), sh(&folder, pipe));
    assert!(folder.text("kl.tsv").lines().count() >= 2);
}

/// `scripts/clusterclip.mk` is the pipe over the whole; a note in the file of excluded clusters changes no draw.
#[test]
fn balanced_sampling_in_parts_is_that_of_the_whole() {
    let folder = parts();
    if !there(&folder, &["make"]) {
        return;
    }
    let make = |more: &str| {
        made(&folder, &format!("clusterclip.mk {PARTS} MODEL=hash:16 K=6 COUNT=150 CLIP=2 {more} sample.jsonl"))
    };
    let expected = |flags: &str| {
        let pipe =
            "jsonl-embed --model hash:16 docs.jsonl > v; kmeans-fit -k 6 v > c; kmeans-assign --centroids c v > k
             clip-sample -n 150 --clip 2 flags --clusters k docs.jsonl | jsonl-shuffle";
        sh(&folder, &pipe.replace("flags", flags))
    };
    let sample = || folder.text("sample.jsonl");
    assert!(make("").len() >= 3 * 4 + 3);
    assert_eq!(sample(), expected(""));
    assert_eq!(make("EXCLUDE=exclude"), [&["clip-sample"; 4][..], &["jsonl-shuffle"]].concat());
    assert_eq!(sample(), expected("--exclude exclude"));
    folder.write("exclude", "2\tnothing in it\n");
    assert_eq!(make("EXCLUDE=exclude"), ["clip-sample"]);
    make("ITERS=100 SHARDS=2 DIR=shards");
    assert_eq!(sample(), expected(""));
}

/// `scripts/minipile.mk`: sets that share no document, and a page to look at before.
#[test]
fn minipile_in_parts_is_that_of_the_whole() {
    let folder = parts();
    if !there(&folder, &["make"]) {
        return;
    }
    let make = |more: &str| made(&folder, &format!("minipile.mk {PARTS} MODEL=hash:16 K=6 {more}"));
    let expected = |fit: &str, flags: &str| {
        let pipe =
            "jsonl-embed --model hash:16 docs.jsonl > v; kmeans-fit -k 6 FIT v > c; kmeans-assign --centroids c v > k
             rm -rf whole; clip-sample flags --clusters k --out whole docs.jsonl";
        sh(&folder, &pipe.replace("flags", flags).replace("FIT ", fit));
        assert_eq!(sh(&folder, "diff -r whole minipile"), "");
    };
    make("report.html");
    assert!(folder.text("report.html").contains("</html>"));
    make("FANIN=2 DIR=tree report.html");
    sh(&folder, "cmp tree/clusters.jsonl minipile.parts/clusters.jsonl; ls tree/1.stats.jsonl.1");
    let split = "train=90,validation=20,test=30";
    assert!(make(&format!("SPLIT={split} EXCLUDE=exclude minipile")).iter().all(|program| program != "jsonl-embed"));
    expected("--batch 16384 ", &format!("--split {split} --exclude exclude"));
    let split = "train=100,test=30";
    assert_eq!(make(&format!("SPLIT={split} EXCLUDE=exclude OUT=other minipile")), ["clip-sample"; 4]);
    assert_eq!(sh(&folder, "ls other"), "test.jsonl\ntrain.jsonl\n");
    sh(&folder, "rm -r minipile");
    make(&format!("SPLIT={split} ITERS=2 SHARDS=2 DIR=shards minipile"));
    expected("--iters 2 ", &format!("--split {split}"));
}

/// A make that is killed while a step writes leaves no half of a file under its name, and the next one finishes.
#[test]
fn a_killed_make_leaves_no_half_of_a_file() {
    let folder = parts();
    if !there(&folder, &["make", "setsid"]) {
        return;
    }
    sh(&folder, "mkdir bin; printf '#!/bin/sh\\necho half\\nkill -9 0\\n' > bin/dsir-weight; chmod +x bin/dsir-weight");
    let make = format!("make -s -f {SCRIPTS}/dsir.mk {PARTS} COUNT=20 MIN_LENGTH=0 chosen.jsonl");
    let killed = format!("if PATH=$PWD/bin:$PATH setsid -w {make} 2> said; then exit 1; fi; ls dsir.parts");
    let left = Run::shell(&killed, &folder).outcome();
    left.expect(0);
    let left = String::from_utf8(left.stdout).expect("names");
    assert!(left.contains("0.weights.tsv.new\n") && !left.contains("weights.tsv\n"), "{left}");
    sh(&folder, &make);
    let pipe = "ngram-hash docs.jsonl > r; ngram-hash target.jsonl > t; dsir-weight --raw r --target t docs.jsonl > w
         topk-resample -n 20 --weights w docs.jsonl";
    assert_eq!(folder.text("chosen.jsonl"), sh(&folder, pipe));
}

/// A plan of many shards asks for no more of make than one of few.
#[test]
fn many_shards_are_planned_on_a_small_stack() {
    let folder = parts();
    if !there(&folder, &["make"]) {
        return;
    }
    let plan = format!("ulimit -s 512; make -n -f {SCRIPTS}/dsir.mk PARTS=docs.jsonl SHARDS=2000 chosen.jsonl");
    let jobs = sh(&folder, &plan).lines().filter(|line| line.starts_with("topk-resample --cut")).count();
    assert_eq!(jobs, 2000);
}

/// What remembers flags, a file a part, is no step of a cluster; what works on a part is one.
#[test]
fn programs_alone_are_steps_of_a_cluster() {
    let folder = parts();
    if !there(&folder, &["make"]) {
        return;
    }
    let srun =
        "#!/bin/sh\nwhile case $1 in -*) ;; *) false ;; esac; do shift; done\necho \"$@\" >> steps\nexec \"$@\"\n";
    folder.write("srun", srun);
    let make = format!("make -s -f {SCRIPTS}/dsir.mk {PARTS} SHELL=srun COUNT=20 MIN_LENGTH=0 chosen.jsonl");
    sh(&folder, &format!("chmod +x srun; export PATH=$PWD:$PATH; {make}"));
    let steps = folder.text("steps");
    assert!(steps.contains("dsir-weight") && !steps.contains("flags/"), "{steps}");
}

/// `make help` names each variable that a user may set, with its default, and each step is one of `make stages`.
#[test]
fn makefiles_say_what_they_take() {
    let folder = parts();
    if !there(&folder, &["make"]) {
        return;
    }
    write_model(&folder);
    let names = fs::read_dir(SCRIPTS).expect("the scripts").map(|entry| entry.expect("an entry").path());
    let names = names.filter(|path| path.extension().is_some_and(|end| end == "mk"));
    let shared = ["parts", "clusters", "fit"];
    let mut seen = 0;
    for path in names {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if shared.contains(&name.as_str()) {
            continue;
        }
        seen += 1;
        let help = sh(&folder, &format!("make -f {SCRIPTS}/{name}.mk help"));
        let text = fs::read_to_string(&path).expect("a makefile");
        for (variable, default) in text.lines().filter_map(|line| line.split_once(" ?= ")) {
            let from = help.find(&format!("\n{variable}  "));
            let from = from.unwrap_or_else(|| panic!("{name}.mk: {variable} is not in the help"));
            let mut lines = help[from + 1..].lines();
            let said = lines.next().into_iter().chain(lines.take_while(|line| line.starts_with("  ")));
            let said = said.collect::<Vec<_>>().join(" ");
            let shown = default.starts_with('$') || default.starts_with("--template") || variable == "PARTS";
            assert!(
                shown || said.contains(&format!("({default}")),
                "{name}.mk: {variable}: expected ({default}) in: {said}"
            );
        }
        let stages = sh(
            &folder,
            &format!("make -f {SCRIPTS}/{name}.mk PARTS=docs.jsonl TARGET=target.jsonl MODEL=model stages"),
        );
        assert!(stages.lines().count() >= 3 && stages.lines().all(|line| !line.is_empty()), "{name}.mk: {stages}");
    }
    assert!(seen >= 8);
}

/// `make plan` has a line for each step, with as many jobs as there are parts, and leaves nothing.
#[test]
fn a_plan_has_a_line_a_step() {
    let folder = parts();
    if !there(&folder, &["make", "python3"]) {
        return;
    }
    let before = sh(&folder, "ls");
    let flags = format!("{PARTS} SHARDS=2 MODEL=hash:16 K=4 ITERS=1 SPLIT=train=40,test=9");
    let plan = sh(&folder, &format!("make -s -f {SCRIPTS}/minipile.mk {flags} plan"));
    assert_eq!(sh(&folder, "ls"), before);
    assert!(plan.starts_with("6 parts, "), "{plan}");
    let jobs =
        |line: &str| Some((line.split_whitespace().next()?.to_string(), line.split_whitespace().nth(1)?.to_string()));
    let jobs: Vec<_> = plan.lines().skip(2).filter_map(jobs).collect();
    let expected = [
        ("N.vectors.npy", "6"),
        ("I.model", "3"),
        ("I/N.sums", "12"),
        ("centroids.safetensors", "1"),
        ("N.keys.tsv", "6"),
        ("N.clusters.tsv", "6"),
        ("cut", "1"),
        ("first-rows", "1"),
        ("N.drawn", "6"),
    ];
    let found: Vec<_> = jobs.iter().map(|(name, jobs)| (name.as_str(), jobs.as_str())).take(expected.len()).collect();
    assert_eq!(found, expected, "{plan}");
    assert!(jobs.last().is_some_and(|(name, _)| name == "together"), "{plan}");
}
