//! Whole pipelines, typed as a user would type them.

use contract::corpus;
use contract::folder::Folder;
use contract::packed;
use contract::run::Run;
use contract::tool::lines;
use std::collections::{BTreeMap, HashMap};
use xxhash_rust::xxh3::xxh3_64;

const ROWS: usize = 600;

/// A folder with documents and all that is made of them: `weights.tsv` for one target, `two.tsv` for two, `kinds` as
/// groups.
fn weighed(documents: &str) -> Folder {
    let folder = Folder::new();
    folder.write("docs.jsonl", documents);
    folder.write("target.jsonl", corpus::target(100));
    folder.write("kinds", corpus::kinds(documents));
    sh(
        &folder,
        "ngram-hash docs.jsonl > raw.counts
         ngram-hash target.jsonl > target.counts
         head -n 20 docs.jsonl | ngram-hash > head.counts
         dsir-weight --raw raw.counts --target target.counts docs.jsonl > weights.tsv
         dsir-weight --raw raw.counts --target target.counts --target head.counts docs.jsonl > two.tsv",
    );
    folder
}

/// What a script prints; it must end well and have nothing to say.
fn sh(folder: &Folder, script: &str) -> String {
    Run::shell(script, folder).text()
}

/// The lines of a text in the order of their bytes.
fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

/// Every fifth document three times, one after another.
fn with_repeats(rows: usize) -> String {
    let documents = corpus::documents(rows);
    let lines = documents.split_inclusive('\n').enumerate();
    lines.map(|(row, line)| line.repeat(if row % 5 == 0 { 3 } else { 1 })).collect()
}

/// Cuts the documents into shards, weighs each by itself, cuts, and applies the cut to each.
fn sharded(folder: &Folder, count: usize, column: &str, targets: &str, choice: &str, group: bool) -> String {
    let weigh = format!("dsir-weight --raw raw.counts {targets} --shard $i/{count} docs.jsonl > w.$i");
    let all = format!("i=0; while [ $i -lt {count} ]; do {weigh}; i=$((i + 1)); done; cat w.* | cmp - {column}");
    sh(folder, &format!("rm -f w.* cut; {all}"));
    sh(folder, &format!("topk-resample {choice} --weights {column} --write-cut cut"));
    let mut kinds = folder.text("kinds");
    let mut chosen = String::new();
    for index in 0..count {
        let rows = folder.text(&format!("w.{index}")).lines().count();
        let rest = kinds.split_off(2 * rows);
        folder.write("group", std::mem::replace(&mut kinds, rest));
        let group = if group { "--group group" } else { "" };
        chosen += &sh(
            folder,
            &format!("topk-resample --cut cut --weights w.{index} {group} --shard {index}/{count} docs.jsonl"),
        );
    }
    chosen
}

#[test]
fn shards_choose_what_one_run_chooses() {
    let (one, two) = ("--target target.counts", "--target target.counts --target head.counts");
    for documents in [corpus::documents(ROWS), with_repeats(ROWS / 2)] {
        let folder = weighed(&documents);
        for (choice, column, targets) in [
            ("-n 37", "weights.tsv", one),
            ("-n 0", "weights.tsv", one),
            ("--top -n 37", "weights.tsv", one),
            ("--bottom -n 37", "weights.tsv", one),
            ("--fraction 0.25 --seed 5", "weights.tsv", one),
            ("--budget 1234", "weights.tsv", one),
            ("--temperature 2.5 --seed 9 -n 50", "weights.tsv", one),
            ("--min-length 12 -n 50", "weights.tsv", one),
            ("--proportions 1,2 -n 60", "two.tsv", two),
            ("--proportions 1,0.5 --budget 900 --top", "two.tsv", two),
            ("--group kinds --per-group-fraction 0.3", "weights.tsv", one),
            ("--group kinds --per-group-fraction 0.1 --bottom --min-length 9", "weights.tsv", one),
            ("--group kinds --per-group-fraction 0.2 --proportions 3,1", "two.tsv", two),
        ] {
            let single = sh(&folder, &format!("topk-resample {choice} --weights {column} docs.jsonl"));
            for count in [1, 3, 8] {
                let joined = sharded(&folder, count, column, targets, choice, choice.contains("--group"));
                assert!(joined == single, "{choice}: {count} shards are not one run");
            }
        }
    }
}

/// Twenty-four equal documents have the largest weight, seven of them fit, and they stand in three shards.
#[test]
fn a_cut_between_equal_documents_needs_the_rows_before() {
    let documents = corpus::documents(300);
    let target = corpus::target(1).replace("\"id\"", "\"kind\": \"a\", \"id\"");
    let place = |row: usize| [80, 90, 100, 110, 150, 190, 200, 210].contains(&row);
    let lines = documents.split_inclusive('\n').enumerate();
    let documents: String = lines
        .map(|(row, line)| if place(row) { line.to_string() + &target.repeat(3) } else { line.to_string() })
        .collect();
    let folder = weighed(&documents);
    // The target is that document alone.
    folder.write("target.jsonl", &target);
    let weigh = "dsir-weight --raw raw.counts --target target.counts docs.jsonl > weights.tsv";
    sh(&folder, &format!("ngram-hash target.jsonl > target.counts; {weigh}"));
    let single = sh(&folder, "topk-resample --top -n 7 --weights weights.tsv docs.jsonl");
    assert_eq!(single, target.repeat(7), "the equal documents were to be the best");
    for count in [1, 3, 8] {
        assert!(sharded(&folder, count, "weights.tsv", "--target target.counts", "--top -n 7", false) == single);
    }
    sh(
        &folder,
        "head -n 100 docs.jsonl > part.0; tail -n +101 docs.jsonl > part.1; head -n 100 weights.tsv > w.0; tail -n \
         +101 weights.tsv > w.1",
    );
    let apply = "for i in 0 1; do topk-resample --cut cut --first-row $((100 * i)) --weights w.$i part.$i; done";
    assert_eq!(sh(&folder, apply), single);
    let refused = Run::shell("topk-resample --cut cut --weights w.1 part.1", &folder).outcome();
    refused.expect_refusal(2, &["--first-row"]);
    let several =
        Run::shell("topk-resample --cut cut --weights weights.tsv --shard 0/1 part.0 part.1", &folder).outcome();
    several.expect_refusal(2, &["--first-row R is needed"]);
}

#[test]
fn shuffled_documents_are_chosen_as_a_set() {
    let documents = corpus::documents(ROWS);
    let mut shuffled: Vec<_> = documents.split_inclusive('\n').collect();
    shuffled.sort_by_key(|line| xxh3_64(line.as_bytes()));
    let (one, other) = (weighed(&documents), weighed(&shuffled.concat()));
    assert!(one.read("weights.tsv") != other.read("weights.tsv"));
    // The table of the first twenty differs, so that of the target is the only one.
    for choice in
        ["-n 50", "--fraction 0.1 --seed 3", "--budget 500", "--top -n 50", "--group kinds --per-group-fraction 0.2"]
    {
        let run = |folder: &Folder| sh(folder, &format!("topk-resample {choice} --weights weights.tsv docs.jsonl"));
        let (one, other) = (run(&one), run(&other));
        assert!(one != other && sorted(&one) == sorted(&other), "{choice}");
    }
}

#[test]
fn compressed_files_are_the_same_all_along_the_pipe() {
    let documents = corpus::documents(ROWS);
    let folder = weighed(&documents);
    let expected = sh(&folder, "topk-resample -n 50 --weights weights.tsv docs.jsonl");
    for pack in [packed::gzip as fn(&[u8]) -> Vec<u8>, packed::zstd] {
        let pack_all = |names: &[&str]| {
            names
                .iter()
                .for_each(|name| folder.write(&format!("{name}.p"), packed::in_parts(pack, &folder.read(name))));
        };
        pack_all(&["docs.jsonl", "target.jsonl"]);
        sh(
            &folder,
            "ngram-hash docs.jsonl.p | cmp - raw.counts; cat target.jsonl.p | ngram-hash | cmp - target.counts",
        );
        pack_all(&["raw.counts", "target.counts"]);
        sh(&folder, "dsir-weight --raw raw.counts.p --target target.counts.p < docs.jsonl.p | cmp - weights.tsv");
        pack_all(&["weights.tsv", "kinds"]);
        assert!(sh(&folder, "topk-resample -n 50 --weights weights.tsv.p < docs.jsonl.p") == expected);
        assert!(sh(&folder, "cat weights.tsv.p | topk-resample -n 50 --weights - docs.jsonl.p") == expected);
        sh(&folder, "topk-resample -n 50 --weights weights.tsv.p --write-cut cut");
        pack_all(&["cut"]);
        assert!(sh(&folder, "topk-resample --cut cut.p --weights weights.tsv.p docs.jsonl.p") == expected);
    }
}

#[test]
fn a_larger_sample_contains_the_smaller() {
    let folder = weighed(&corpus::documents(ROWS));
    for method in ["", "--seed 8", "--top", "--bottom", "--min-length 10"] {
        let run = |n: u32| sh(&folder, &format!("topk-resample {method} -n {n} --weights weights.tsv docs.jsonl"));
        let samples = [1, 10, 11, 100, 300].map(run);
        for (pair, n) in samples.windows(2).zip([1, 10, 11, 100]) {
            let larger: Vec<_> = pair[1].lines().collect();
            assert_eq!(pair[0].lines().count(), n);
            assert!(pair[0].lines().all(|line| larger.contains(&line)), "{method} -n {n}");
        }
    }
}

#[test]
fn a_fraction_is_a_number_of_those_that_qualify() {
    let folder = weighed(&corpus::documents(ROWS));
    let long = folder
        .text("weights.tsv")
        .lines()
        .filter(|row| row.split('\t').nth(1).is_some_and(|l| l.parse::<u32>().is_ok_and(|l| l >= 20)))
        .count();
    assert!(long > 100 && long < ROWS);
    for (fraction, flags, qualified) in
        [(0.0, "", ROWS), (0.1, "", ROWS), (0.3333, "", ROWS), (1.0, "", ROWS), (0.25, "--min-length 20", long)]
    {
        let n = (fraction * qualified as f64).round() as u64;
        let run =
            |amount: &str| sh(&folder, &format!("topk-resample {amount} {flags} --weights weights.tsv docs.jsonl"));
        assert!(run(&format!("--fraction {fraction}")) == run(&format!("-n {n}")), "{fraction} {flags}");
    }
}

#[test]
fn a_budget_of_tokens_takes_the_longest_run_that_fits() {
    let folder = weighed(&corpus::documents(ROWS));
    let length = |row: &str| row.split('\t').nth(1).and_then(|length| length.parse().ok()).expect("a length");
    let (documents, weights) = (folder.text("docs.jsonl"), folder.text("weights.tsv"));
    let lengths: HashMap<&str, u64> = documents.lines().zip(weights.lines().map(length)).collect();
    let ranked = sh(&folder, "topk-resample --print-score --weights weights.tsv docs.jsonl | sort -k1,1gr | cut -f 2-");
    assert_eq!(ranked.lines().count(), ROWS);
    for budget in [0, 1, 17, 100, 999, 5000] {
        let mut left: u64 = budget;
        let fits = |line: &&str| match left.checked_sub(lengths[line]) {
            Some(rest) => {
                left = rest;
                true
            }
            None => false,
        };
        let mut expected: Vec<_> = ranked.lines().take_while(fits).collect();
        expected.sort_unstable();
        let chosen = sh(&folder, &format!("topk-resample --budget {budget} --weights weights.tsv docs.jsonl"));
        assert!(sorted(&chosen) == expected, "{budget} words");
    }
}

#[test]
fn sort_chooses_what_the_tool_chooses() {
    let folder = weighed(&corpus::documents(ROWS));
    for flags in ["", "--seed 4", "--top", "--bottom", "--temperature 0.5", "--min-length 15"] {
        let keyed = format!("topk-resample --print-score {flags} --weights weights.tsv docs.jsonl");
        let by_sort = sh(&folder, &format!("{keyed} | sort -k1,1gr | sed -n 1,40p | cut -f 2-"));
        let by_tool = sh(&folder, &format!("topk-resample -n 40 {flags} --weights weights.tsv docs.jsonl"));
        assert!(sorted(&by_sort) == sorted(&by_tool), "{flags}");
        let both = sh(&folder, &format!("{keyed} -n 40"));
        assert!(both.lines().map(|line| line.split_once('\t').expect("a key").1).eq(by_tool.lines()));
        let keys = sh(&folder, &keyed);
        assert!(keys.lines().all(|line| line.split('\t').next().is_some_and(|key| !key.contains(['e', 'E']))));
    }
}

#[test]
fn keys_of_the_documents_choose_what_keys_of_the_column_choose() {
    let folder = weighed(&corpus::documents(ROWS));
    sh(
        &folder,
        "cut -f 1,2 weights.tsv > keyless.tsv; dsir-weight --id-field id --raw raw.counts --target target.counts \
         docs.jsonl > ids.tsv",
    );
    for choice in ["-n 40", "--top -n 40", "--budget 300 --seed 2", "--group kinds --per-group-fraction 0.1"] {
        let run = |more: &str| sh(&folder, &format!("topk-resample {choice} {more} docs.jsonl"));
        assert!(run("--weights weights.tsv") == run("--keys documents --weights keyless.tsv"), "{choice}");
        let of_ids = run("--id-field id --weights ids.tsv");
        assert!(of_ids == run("--keys documents --id-field id --weights keyless.tsv"), "{choice} by id");
        assert!(
            choice.contains("top") || of_ids != run("--weights weights.tsv"),
            "{choice}: ids and lines are different keys"
        );
    }
    let refused = Run::shell("topk-resample -n 4 --weights ids.tsv docs.jsonl", &folder).outcome();
    refused.expect_refusal(1, &["docs.jsonl:1: key ", "--id-field"]);
    let refused = Run::shell("topk-resample -n 4 --weights keyless.tsv docs.jsonl", &folder).outcome();
    refused.expect_refusal(1, &["keyless.tsv:1: ", "--keys documents"]);
    sh(&folder, "paste ids.tsv weights.tsv > wide.tsv");
    let wide = sh(
        &folder,
        "topk-resample --weight-field 4 --length-field 5 --key-field 3 --id-field id --budget 900 --weights wide.tsv \
         docs.jsonl",
    );
    assert_eq!(wide, sh(&folder, "topk-resample --id-field id --budget 900 --weights ids.tsv docs.jsonl"));
}

#[test]
fn proportions_serve_targets_in_order_and_choose_nothing_twice() {
    let folder = weighed(&corpus::documents(ROWS));
    let chosen = sh(&folder, "topk-resample --top --proportions 1,2 -n 60 --weights two.tsv docs.jsonl");
    let first = sh(&folder, "topk-resample --top -n 20 --length-field 3 --key-field 4 --weights two.tsv docs.jsonl");
    let second = sh(
        &folder,
        "topk-resample --top --weight-field 2 --length-field 3 --key-field 4 -n 60 --print-score --weights two.tsv \
         docs.jsonl | sort -k1,1gr | cut -f 2-",
    );
    let first: Vec<_> = first.lines().collect();
    let second = second.lines().filter(|line| !first.contains(line)).take(40);
    let mut expected: Vec<_> = first.iter().copied().chain(second).collect();
    expected.sort_unstable();
    assert_eq!(sorted(&chosen), expected);
}

#[test]
fn groups_are_chosen_from_each_by_itself() {
    let folder = weighed(&corpus::documents(ROWS));
    let chosen = sh(&folder, "topk-resample --group kinds --per-group-fraction 0.2 --weights weights.tsv docs.jsonl");
    let mut expected = Vec::new();
    for kind in ["a", "b", "c"] {
        let script = format!(
            "paste kinds weights.tsv | grep '^{kind}' | cut -f 2- > of.tsv; grep '\"kind\": \"{kind}\"' docs.jsonl > \
             of.jsonl
             topk-resample --fraction 0.2 --weights of.tsv of.jsonl"
        );
        expected.extend(sh(&folder, &script).lines().map(str::to_string));
    }
    expected.sort_unstable();
    assert_eq!(sorted(&chosen), expected);
}

#[test]
fn counts_add_up_in_any_tree() {
    let folder = weighed(&corpus::documents(ROWS));
    for script in [
        "for i in 0 1 2; do ngram-hash --shard $i/3 docs.jsonl > p.$i; done; ngram-hash --add p.0 p.1 p.2",
        "ngram-hash --add p.2 p.0 > q; ngram-hash --add p.1 q",
        "ngram-hash --add p.0 p.1 | ngram-hash --add p.2 -",
        "cat p.1 p.2 p.0 | ngram-hash --add",
        "cat p.1 p.2 > q; ngram-hash --add q p.0",
        "ngram-hash --add raw.counts",
        "for i in 0 1 2 3 4 5 6 7; do ngram-hash --shard $i/8 docs.jsonl; done | ngram-hash --add",
    ] {
        assert!(sh(&folder, script) == folder.text("raw.counts"), "{script}");
    }
    for (flags, said) in [
        ("--ngrams 1", "ngrams=2 and ngrams=1"),
        ("--buckets 9999", "buckets=10000 and buckets=9999"),
        ("--hash sha256", "hash=xxh3 and hash=sha256"),
        ("--word-tokenizer whitespace", "tokenizer=wordpunct and tokenizer=whitespace"),
    ] {
        sh(&folder, &format!("ngram-hash {flags} docs.jsonl > other"));
        let refused = Run::shell("ngram-hash --add raw.counts other", &folder).outcome();
        refused.expect_refusal(1, &["other: the counts disagree: ", said]);
    }
}

#[test]
fn rows_of_the_documents_add_up_to_the_table() {
    let folder = weighed(&corpus::documents(ROWS));
    for flags in ["", "--ngrams 1", "--ngrams 3 --buckets 97", "--hash sha256", "--word-tokenizer whitespace"] {
        let mut sums = BTreeMap::<u64, u64>::new();
        let rows = sh(&folder, &format!("ngram-hash {flags} --per-document docs.jsonl"));
        assert_eq!(rows.lines().count(), ROWS);
        for pair in rows.split_whitespace() {
            let (bucket, count) = pair.split_once(':').expect("a pair");
            *sums.entry(bucket.parse().expect("a bucket")).or_default() += count.parse::<u64>().expect("a count");
        }
        let expected: String = sums.iter().map(|(bucket, count)| format!("{bucket}\t{count}\n")).collect();
        let table = sh(&folder, &format!("ngram-hash {flags} docs.jsonl"));
        assert!(table.split_once('\n').is_some_and(|(_, body)| body == expected), "{flags}");
    }
}

/// The recipe of ngram-hash(1), word by word.
#[test]
fn buckets_are_what_the_manual_says() {
    let folder = Folder::new();
    let bucket = |hash: u64| (u128::from(hash) * 100) >> 64;
    let of_word = |word: &&str| xxh3_64(word.as_bytes());
    let of_pair = |pair: &[&str]| xxh3_64(&[of_word(&pair[0]).to_le_bytes(), of_word(&pair[1]).to_le_bytes()].concat());
    for text in
        ["to be or not to be", "one", "a bc def ghij klmno pqrstu vwxyzab cdefghij klmnopqrs tuvwxyzabcdefghijklmnop"]
    {
        let words: Vec<_> = text.split(' ').collect();
        let mut counts = BTreeMap::<u128, u32>::new();
        let hashes = words.iter().map(of_word).chain(words.windows(2).map(of_pair));
        hashes.for_each(|hash| *counts.entry(bucket(hash)).or_default() += 1);
        let expected: Vec<_> = counts.iter().map(|(bucket, count)| format!("{bucket}:{count}")).collect();
        folder.write("docs.jsonl", format!("{{\"text\": \"{text}\"}}\n"));
        let row = sh(&folder, "ngram-hash --per-document --buckets 100 docs.jsonl");
        assert_eq!(row, expected.join(" ") + "\n");
    }
}

#[test]
fn the_first_documents_with_enough_words_are_counted_whole() {
    let folder = weighed(&corpus::documents(ROWS));
    let words = |counts: &str| -> u64 {
        let number = counts.split(" words=").nth(1).and_then(|rest| rest.split(' ').next());
        number.and_then(|number| number.parse().ok()).expect("the header counts words")
    };
    let heads: Vec<_> = (0..30).map(|n| sh(&folder, &format!("head -n {n} docs.jsonl | ngram-hash"))).collect();
    for budget in [1, 20, 100, 333] {
        let enough = heads.iter().position(|counts| words(counts) >= budget).expect("thirty documents are enough");
        for threads in [1, 2, 7] {
            let counts = sh(&folder, &format!("ngram-hash --words-max {budget} --threads {threads} docs.jsonl"));
            assert!(counts == heads[enough], "{budget} words, {threads} threads");
        }
    }
    assert!(sh(&folder, "ngram-hash --words-max 99999999 docs.jsonl") == folder.text("raw.counts"));
}

#[test]
fn the_choice_is_closer_to_the_target() {
    let folder = weighed(&corpus::documents(ROWS));
    let text = sh(
        &folder,
        "for of in docs target; do ngram-hash --ngrams 1 $of.jsonl > $of.counts; done
         dsir-weight --raw docs.counts --target target.counts docs.jsonl > weights.tsv
         topk-resample -n 200 --weights weights.tsv docs.jsonl | ngram-hash --ngrams 1 > chosen.counts
         ngram-kl target.counts docs.counts chosen.counts target.counts",
    );
    let numbers: Vec<f64> =
        text.lines().map(|line| line.split('\t').next().and_then(|n| n.parse().ok()).expect("a number")).collect();
    assert!(numbers[1] < numbers[0] && numbers[2] == 0.0, "{text}");
}

/// The sum over the buckets of the target of share times log ratio: `ngram-kl` says it and so do the weights of the
/// target's own documents.
#[test]
fn divergence_is_the_mean_weight_of_the_target() {
    let folder = weighed(&corpus::documents(ROWS));
    let weights = sh(&folder, "dsir-weight --raw raw.counts --target target.counts target.jsonl");
    let sum: f64 =
        weights.lines().map(|row| row.split('\t').next().and_then(|n| n.parse::<f64>().ok()).expect("a weight")).sum();
    let header = folder.text("target.counts");
    let grams: f64 =
        header.lines().next().and_then(|line| line.rsplit('=').next()?.parse().ok()).expect("a number of grams");
    let divergence = sh(&folder, "ngram-kl target.counts raw.counts | cut -f 1");
    let divergence: f64 = divergence.trim().parse().expect("a number");
    assert!((sum / grams - divergence).abs() <= 1e-12 * divergence.abs().max(1.0), "{} {divergence}", sum / grams);
}

#[test]
fn rows_stand_beside_their_documents() {
    let folder = weighed(&corpus::documents(ROWS));
    let spoilt = folder.text("docs.jsonl").replacen("\"text\"", "\"txet\"", 5);
    folder.write("docs.jsonl", &spoilt);
    let skip = "ngram-hash --on-error skip docs.jsonl > raw.counts; dsir-weight --on-error skip --raw raw.counts \
     --target target.counts docs.jsonl > weights.tsv";
    Run::shell(skip, &folder).outcome().expect(0);
    let chosen = Run::shell("topk-resample -n 600 --weights weights.tsv docs.jsonl", &folder).outcome();
    chosen.expect(0);
    assert!(chosen.stderr.contains("wanted: 600; documents that qualify: 595;"), "{}", chosen.stderr);
    let expected: Vec<_> = lines(spoilt.as_bytes()).into_iter().skip(5).collect();
    assert!(lines(&chosen.stdout) == expected);
}

/// Shares of a table, drawn by one run, and by shards with keys of their own; then shuffled, whatever the order was.
#[test]
fn a_plan_is_drawn_in_one_run_and_in_shards_and_shuffled() {
    let folder = Folder::new();
    folder.write("docs.jsonl", corpus::documents(ROWS));
    folder.write("kinds", corpus::kinds(&corpus::documents(ROWS)));
    sh(&folder, "tr abc 012 < kinds | awk '{ print $1 \"\\t0.\" NR % 7 }' > clusters.tsv");
    sh(&folder, "cluster-stats clusters.tsv | cluster-share --measure density -n 200 > plan.tsv");
    let drawn = sh(&folder, "clip-sample --plan plan.tsv --clusters clusters.tsv docs.jsonl | tee drawn.jsonl");
    assert_eq!(drawn.lines().count(), 200);
    sh(&folder, "split -n l/3 -d docs.jsonl d.");
    let shards = "start=1; for i in 0 1 2; do
        rows=$(wc -l < d.0$i)
        tail -n +$start clusters.tsv | head -n $rows > c.$i; start=$((start + rows))
        jsonl-key d.0$i | paste c.$i - > k.$i
    done
    cat k.0 k.1 k.2 | clip-sample --plan plan.tsv --clusters - --key-field 3 --write-cut cut
    for i in 0 1 2; do clip-sample --cut cut --clusters c.$i d.0$i; done";
    assert!(sh(&folder, shards) == drawn);
    let shuffled = sh(&folder, "jsonl-shuffle --seed 3 drawn.jsonl");
    assert!(shuffled != drawn && sh(&folder, "sort drawn.jsonl | jsonl-shuffle --seed 3") == shuffled);
}
