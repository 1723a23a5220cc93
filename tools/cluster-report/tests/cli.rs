//! `cluster-report` keeps the contract of all tools; its page is used in a browser by `scripts/report-check`.

use contract::folder::Folder;
use contract::run::Run;
use contract::tool::{INPUT, Tool};
use serde_json::{Value, json};

fn tool() -> Tool {
    Tool {
        name: "cluster-report",
        program: env!("CARGO_BIN_EXE_cluster-report"),
        source: env!("CARGO_MANIFEST_DIR"),
        args: &["--exclude", "out", "--title", "A & B"],
        side_files: &["--exclude"],
        wrong_values: &[("--exclude", ""), ("--plan", ""), ("--map", ""), ("--compare", "")],
        prepare: |folder, rows| folder.write("out", if rows > 0 { "0\tmenus\n" } else { "" }),
        input: |rows| (0..rows).map(line).collect::<String>().into_bytes(),
    }
}

contract::holds!(tool: manual, files);

fn line(id: usize) -> String {
    let closest = json!([{"text": format!("text {id} </script> & <b>"), "distance": 0.25, "key": "00000000000000ff"}]);
    let cluster = json!({
        "cluster": id, "total_examples": 10 * id + 1, "average_distance": 0.5, "quantiles": {"0.5": 0.25, "0.9": null},
        "closest": closest, "farthest": [], "histogram": [[8032, 3], [-8032, 1]], "label": "a \"label\"",
        "total_words": 20 * id, "histogram_words": [[0, 1], [8272, 2]], "min": 0.1,
        "random": [{"text": "any", "distance": 1, "key": "0000000000000001", "rows": 7}],
    });
    format!("{cluster}\n")
}

fn report(folder: &Folder, args: &[&str]) -> Run {
    tool().bare(folder).args(args)
}

/// What an element of data holds.
fn data(page: &str, id: &str) -> Value {
    let begin = format!("<script type=\"application/json\" id=\"{id}\">");
    let (_, rest) = page.split_once(&begin).unwrap_or_else(|| panic!("no {id}"));
    serde_json::from_str(rest.split_once("</script>").expect("its end").0).expect("it is JSON")
}

#[test]
fn the_page_has_what_the_table_has() {
    let folder = tool().folder(3);
    let page = tool().run(&folder).args([INPUT]).text();
    assert_eq!(page.matches("<title>A &amp; B</title>").count(), 1);
    let shown = data(&page, "clusters");
    let columns = ["total_examples", "average_distance", "total_words", "min", "quantiles.0.5"];
    assert_eq!(shown["columns"], json!(columns), "what one asks for first comes first");
    assert_eq!(shown["histograms"], json!(["distance", "words"]));
    assert_eq!(shown["labels"], json!(["label"]));
    let first = json!({
        "id": 0, "numbers": [1, 0.5, 0, 0.1, 0.25], "labels": ["a \"label\""], "words": [],
        "histograms": [[[0.376_953_12, 3], [-0.376_953_12, 1]], [[0.0, 1], [5.0, 2]]], "other": [],
        "mark": "exclude", "note": "menus",
    });
    assert_eq!(shown["clusters"][0], first);
    assert_eq!(shown["clusters"][2]["numbers"], json!([21, 0.5, 40, 0.1, 0.25]));
    let texts = json!({
        "closest": [["text 1 </script> & <b>", 0.25, "00000000000000ff"]],
        "random": [["any", 1, "0000000000000001", 7]],
        "farthest": [],
    });
    assert_eq!(data(&page, "texts-1"), texts);
}

/// The policy names the page's own script and style by their digests; nothing of a document is markup.
#[test]
fn documents_are_no_markup() {
    let folder = tool().folder(3);
    let page = tool().run(&folder).args([INPUT]).text();
    assert!(page.contains("content=\"default-src 'none'; script-src 'sha256-"));
    assert!(!page.contains("</script> & <b>") && page.contains("\\u003c/script\\u003e \\u0026 \\u003cb\\u003e"));
    // Elements of data of three clusters and of the page, and the script; as many ends.
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (5, 5));
    // Half a pair of surrogates, which no string of this program can hold, stands as it was written.
    folder.write("half", "{\"cluster\":1,\"closest\":[{\"text\":\"\\ud800\\u0000\"}]}\n");
    assert!(report(&folder, &["half"]).text().contains("[[\"\\ud800\\u0000\",null,null]]"));
}

#[test]
fn tables_and_runs_are_put_together() {
    let folder = Folder::new();
    folder.write("a.tsv", "cluster\ttotal_examples\tname\n0\t100\tfruit\n7\t40\tnan\n");
    folder.write("losses.jsonl", "{\"cluster_idx\": 7, \"mean_loss\": 1.5}\n");
    folder.write("plan.tsv", "cluster\tsize\tshare\tdocuments\trepeats\n0\t100\t1\t50\t0.5\n7\t40\t0\t0\t0\n");
    folder.write("b.tsv", "cluster\ttotal_examples\n7\t44\n9\t1\n");
    folder.write("map", "0.5\t-1\nnan\tnan\n");
    let args = ["--plan", "plan.tsv", "--compare", "b.tsv", "--map", "map", "a.tsv", "losses.jsonl"];
    folder.write("map", "0.5\t-1\nnan\tnan\nnan\tnan\n");
    let shown = data(&report(&folder, &args).text(), "clusters");
    let columns =
        ["total_examples", "total_examples@b.tsv", "plan.documents", "mean_loss", "plan.repeats", "plan.share"];
    assert_eq!(shown["columns"], json!(columns));
    assert_eq!(shown["areas"], json!(["total_examples", "total_examples@b.tsv", "plan.documents"]));
    let rows: Vec<_> = shown["clusters"].as_array().unwrap().iter().map(|one| &one["numbers"]).collect();
    let expected =
        [json!([100, null, 50, null, 0.5, 1]), json!([40, 44, 0, 1.5, 0, 0]), json!([null, 1, null, null, null, null])];
    assert_eq!(rows, expected.iter().collect::<Vec<_>>());
    assert_eq!((&shown["clusters"][0]["at"], &shown["clusters"][1]["at"]), (&json!([0.5, -1.0]), &Value::Null));
    assert_eq!(shown["clusters"][0]["labels"], json!(["fruit"]));
    // Histograms of both runs, in one order.
    folder.write("c.jsonl", "{\"cluster\":0,\"histogram_words\":[[0,1]]}\n");
    folder.write("d.jsonl", "{\"cluster\":0,\"histogram\":[[0,2]]}\n");
    let shown = data(&report(&folder, &["--compare", "d.jsonl", "c.jsonl"]).text(), "clusters");
    assert_eq!(shown["histograms"], json!(["distance", "words"]));
    assert_eq!(shown["clusters"][0]["histograms"], json!([[], [[0.0, 1]]]));
    assert_eq!(shown["clusters"][0]["other"][1], json!([]));
    folder.write("map", "cluster\tx\ty\n7\t1\t2\n");
    let shown = data(&report(&folder, &["--map", "map", "a.tsv"]).text(), "clusters");
    assert_eq!((&shown["clusters"][0]["at"], &shown["clusters"][1]["at"]), (&Value::Null, &json!([1.0, 2.0])));
}

/// `sort -u` of several people's lists has a cluster as often as there are notes on it; no note is lost.
#[test]
fn notes_of_several_people_are_joined() {
    let folder = tool().folder(3);
    folder.write("many", "1\tb\n1\ta\n2\n2\tc\n1\tb\n0\n");
    let shown = data(&report(&folder, &["--exclude", "many", INPUT]).text(), "clusters");
    let notes: Vec<_> = shown["clusters"].as_array().unwrap().iter().map(|one| &one["note"]).collect();
    assert_eq!(notes, [&json!(""), &json!("b; a"), &json!("c")]);
}

/// The one object of MiniCorpus.
#[test]
fn the_layout_of_minicorpus_is_read() {
    let folder = Folder::new();
    let examples = "[\n{\"text\": \"one\", \"distance\": 0.125}\n]";
    folder.write(
        "info.json",
        format!(
            "{{\n\"0\": {{\"closest\": {examples}, \"farthest\": [], \"total_examples\": 2}},\n\"3\": \
         {{\"total_examples\": 0}}\n}}\n"
        ),
    );
    let page = report(&folder, &["info.json"]).text();
    assert_eq!(data(&page, "clusters")["clusters"][1]["numbers"], json!([0]));
    assert_eq!(data(&page, "texts-0")["closest"], json!([["one", 0.125, null]]));
}

#[test]
fn bad_tables_are_described_with_their_place() {
    let folder = tool().folder(3);
    let table = "cluster\ttotal_examples\n1\t1\n2\t2\n";
    for (text, said) in [
        ("", "side: expected a table of clusters, found nothing"),
        ("a\tb\n", "side:1: expected JSON objects, or a header that names cluster"),
        (&format!("{table}3\n"), "side:4: expected 2 fields as in the header, found 1"),
        (&format!("{table}1.5\t1\n"), "side:4: field \"cluster\": expected a whole number below 2^32, found 1.5"),
        (&format!("{table}2\t9\n"), "side:4: cluster 2 comes twice"),
        ("{\"total_examples\": 1}\n", "side:1: field \"cluster\": missing"),
        ("{\"cluster\": 1}\n{\"x\n", "side:2: expected the JSON object of a cluster"),
        ("{\"cluster\": 1, \"closest\": [1]}\n", "side:1: field \"closest\": expected a list of objects"),
        ("{\"cluster\": 1, \"closest\": [{\"text\": 5}]}\n", "side:1: field \"closest\": expected a list of objects"),
        (
            "{\"cluster\": 1, \"words\": [[\"a\", \"b\"]]}\n",
            "side:1: field \"words\": expected pairs of a word and a number",
        ),
        ("{\"cluster\": 1, \"histogram\": [[1, -1]]}\n", "side:1: field \"histogram\": expected pairs"),
        ("{\"cluster\": 1, \"histogram_x\": [5]}\n", "side:1: field \"histogram_x\": expected pairs"),
        ("{\"cluster\": 1, \"random\": [{}]}\n", "side:1: field \"random\": expected a list of objects"),
    ] {
        folder.write("side", text);
        report(&folder, &["side"]).outcome().expect_refusal(1, &[said]);
    }
    folder.write("side", "{\"cluster\": 1, \"total_examples\": 1}\n");
    let twice = report(&folder, &["side", "side"]).outcome();
    twice.expect_refusal(1, &["side:1: cluster 1 has total_examples twice"]);
    folder.write("side", "{\"cluster\": 1, \"histogram\": []}\n");
    let twice = report(&folder, &["side", "side"]).outcome();
    twice.expect_refusal(1, &["side:1: cluster 1 has a histogram of distance twice"]);
    folder.write("side", "{\"cluster\": 1, \"total_examples\": 1}\n");
    folder.write("more", "{\"cluster\": 2, \"mean_loss\": 1}\n");
    report(&folder, &["side", "more"]).outcome().expect_refusal(1, &["more:1: cluster 2 is not in the first table"]);
    folder.write("invalid", b"{\"cluster\": 1, \"name\": \"\xff\"}\n");
    report(&folder, &["invalid"]).outcome().expect_refusal(1, &["invalid:1: expected the JSON object of a cluster"]);
    for (flag, text, said) in [
        ("--exclude", "9\n", "other: cluster 9 is not in side"),
        ("--exclude", "1 note\n", "other:1: field 1: expected a cluster"),
        ("--map", "1\t2\n1\n", "other:2: expected two numbers with a TAB between them"),
        ("--map", "1\t2\n1\tx\n", "other:2: field 2: expected a number, found \"x\""),
        ("--map", "cluster\tx\ty\n1\t1\t1\n9\t1\t1\n", "other: cluster 9 is not in side"),
        ("--map", "cluster\tx\n1\t1\n", "other:2: expected columns x and y"),
        ("--compare", "", "other: expected a table of clusters, found nothing"),
        ("--plan", "cluster\tshare\n1\t1\n", "other:1: expected JSON objects, or a header that names documents"),
        ("--plan", "cluster\tdocuments\n9\t1\n", "other: cluster 9 is not in side"),
    ] {
        folder.write("other", text);
        report(&folder, &[flag, "other", "side"]).outcome().expect_refusal(1, &[said]);
    }
}
