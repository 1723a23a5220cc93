//! What a thousand parts come to, added up at once and in trees: the same bytes, with few files open at a time.

use contract::corpus;
use contract::folder::Folder;
use contract::run::Run;
use contract::vectors;

/// So many different parts, and so many rows in each.
const DIFFERENT: usize = 7;
const ROWS: usize = 40;

/// A thousand files `part.000` and on, which the script makes of `N.jsonl` and `N.npy` as `made.N`, and what is made of
/// the whole, as `whole`.
fn parts(script: &str) -> Folder {
    let folder = Folder::new();
    let (documents, rows) = (corpus::documents(DIFFERENT * ROWS), vectors::rows(DIFFERENT * ROWS));
    let documents: Vec<_> = documents.split_inclusive('\n').collect();
    for (part, (documents, rows)) in documents.chunks(ROWS).zip(rows.chunks(ROWS)).enumerate() {
        folder.write(&format!("{part}.jsonl"), documents.concat());
        folder.write(&format!("{part}.npy"), vectors::array(rows));
    }
    let numbers: Vec<_> = (0..1000).map(|part| (part % DIFFERENT).to_string()).collect();
    sh(&folder, &format!("numbers='{}'\n{script}", numbers.join(" ")));
    for (part, number) in numbers.iter().enumerate() {
        folder.write(&format!("part.{part:03}"), folder.read(&format!("made.{number}")));
    }
    folder
}

fn sh(folder: &Folder, script: &str) {
    Run::shell(script, folder).outcome().expect(0);
}

/// The command adds parts up to the whole: all at once, in a tree that is even and in one that is not, in another
/// order; it may have few files open.
fn adds_up(folder: &Folder, command: &str) {
    let script = "ulimit -n 24
        ADD part.??? | cmp - whole
        for i in 0 1 2 3 4 5 6 7 8 9; do ADD part.$i?? > node.$i; done
        ADD node.? | cmp - whole
        ADD part.00? > few; ADD part.[5-9]?? few node.0 > most
        ADD most part.[1-4]?? > too-many; if cmp -s too-many whole; then exit 1; fi
        ADD part.0[1-9]? few > node.a; ADD node.[1-9] node.a | cmp - whole
        ADD part.[5-9]?? part.[0-4]?? | cmp - whole";
    sh(folder, &script.replace("ADD", command));
}

#[test]
fn counts_add_up_in_any_tree() {
    let folder = parts(
        "for i in 0 1 2 3 4 5 6; do ngram-hash $i.jsonl > made.$i; done
         for i in $numbers; do echo $i.jsonl; done | xargs ngram-hash > whole",
    );
    adds_up(&folder, "ngram-hash --add");
}

#[test]
fn sums_of_k_means_add_up_in_any_tree() {
    sums_add_up("kmeans", "-k 5", "--centroids model");
}

#[test]
fn sums_of_mixtures_add_up_in_any_tree() {
    sums_add_up("gmm", "-k 3", "--mixture model");
}

/// The sums of vectors, and what a step makes of them.
fn sums_add_up(what: &str, size: &str, model: &str) {
    let folder = parts(&format!(
        "{what}-fit {size} --iters 0 0.npy > model; sum() {{ {what}-sum {model} \"$@\"; }}
         for i in 0 1 2 3 4 5 6; do sum $i.npy > made.$i; done
         sum $(for i in $numbers; do echo $i.npy; done) > whole"
    ));
    adds_up(&folder, &format!("{what}-sum --add"));
    sh(
        &folder,
        &format!(
            "ulimit -n 24; next() {{ {what}-step {model} \"$@\"; }}
             next whole > next; next part.??? | cmp - next; next node.[0-9] | cmp - next"
        ),
    );
}

#[test]
fn statistics_of_clusters_add_up_in_any_tree() {
    let folder = parts(
        "kmeans-fit -k 5 --iters 1 0.npy > model
         for i in 0 1 2 3 4 5 6; do kmeans-assign --centroids model $i.npy > $i.tsv; done
         for i in 0 1 2 3 4 5 6; do cluster-stats --documents $i.jsonl $i.tsv > made.$i; done
         for i in $numbers; do cat $i.jsonl; done > all.jsonl; for i in $numbers; do cat $i.tsv; done > all.tsv
         cluster-stats --documents all.jsonl all.tsv > whole",
    );
    adds_up(&folder, "cluster-stats --add");
}

/// A cut of a thousand columns is that of one.
#[test]
fn columns_of_parts_are_cut_as_one() {
    let folder = parts(
        "ngram-hash 0.jsonl > target; ngram-hash ?.jsonl > raw
         for i in 0 1 2 3 4 5 6; do dsir-weight --raw raw --target target $i.jsonl > made.$i; done
         for i in $numbers; do cat made.$i; done > whole",
    );
    let cut = "ulimit -n 24
        topk-resample -n 9999 --weights whole --write-cut cut
        cat part.??? | topk-resample -n 9999 --weights - --write-cut again; cmp cut again";
    sh(&folder, cut);
}

/// Sums of another model are refused by name, and what says something of vectors has no meaning.
#[test]
fn sums_that_do_not_belong_together_are_refused() {
    let folder = parts(
        "for i in 0 1 2 3 4 5 6; do kmeans-fit -k 5 --iters 0 $i.npy > $i.model; done
         for i in 0 1 2 3 4 5 6; do kmeans-sum --centroids $i.model 0.npy > made.$i; done
         for i in 0 1; do gmm-fit -k 3 --iters 0 $i.npy > $i.gmm; gmm-sum --mixture $i.gmm 0.npy > gmm.$i; done",
    );
    let refused = |line: &str, code, said: &[&str]| Run::shell(line, &folder).outcome().expect_refusal(code, said);
    refused("kmeans-sum --add part.000 part.007 part.001", 1, &["part.001: sums of another model ("]);
    refused("gmm-sum --add gmm.0 gmm.1", 1, &["gmm.1: sums made with another model ("]);
    refused("kmeans-sum --add part.000 gmm.0", 1, &["gmm.0: not the sums of a k-means"]);
    refused("gmm-sum --add part.000", 1, &["part.000: not the sums of a mixture"]);
    refused("kmeans-sum --add --centroids 0.model part.000", 2, &["--centroids does not go with --add"]);
    refused("kmeans-sum --add --shard 0/2 part.000", 2, &["--add does not go with --shard"]);
    refused("gmm-sum --add --mixture 0.gmm gmm.0", 2, &["--mixture does not go with --add"]);
    refused("gmm-sum --add --headerless 3:f32 gmm.0", 2, &["--add does not go with --headerless"]);
}
