//! The flags that several tools share: each means the same in all of them.
//!
//! Those whose value is in [`Common`] are whole. Of others the name, the form of the value, the summary and the group
//! stand here, and the tool says where the value goes; it may put further sentences in place of those here (`Flag {
//! help: "...", ..shared::clusters(set) }`).

use crate::flags::{Flag, Options, Value};
use crate::floats::Raw;
use crate::settings::{Common, Gpus, OnError, Progress, Shard};

/// `--field PATH`.
pub const fn field<A: Options>() -> Flag<A> {
    Flag::value(
        "field",
        "PATH",
        "The field that holds the text of a document",
        "A name, or a dotted path (`meta.body`; a number is a place in an array, `\\.` a dot in a name).",
        |args: &mut A, value| {
            args.common().field = value.text()?.to_string();
            Ok(())
        },
    )
    .input()
    .default(|_| Common::default().field)
}

/// `--template TEXT`.
pub const fn template<A: Options>() -> Flag<A> {
    Flag::value(
        "template",
        "TEXT",
        "The text of a document, made of several fields",
        "Each `{PATH}` is replaced by that field; `{{` and `}}` are braces. Wins over --field.",
        |args: &mut A, value| {
            args.common().template = Some(value.text()?.to_string());
            Ok(())
        },
    )
    .input()
}

/// `--id-field PATH`.
pub const fn id_field<A: Options>() -> Flag<A> {
    Flag::value(
        "id-field",
        "PATH",
        "The field that holds the identity of a document",
        "A string or a whole number, from which the document's key is made. Without it the whole line is the identity.",
        |args: &mut A, value| {
            args.common().id_field = Some(value.text()?.to_string());
            Ok(())
        },
    )
    .input()
}

/// [`id_field`] where keys decide what is chosen.
pub const fn id_field_of_keys<A: Options>() -> Flag<A> {
    Flag {
        help: "A string or a whole number, from which the document's key is made. Without it the whole line is the \
               identity, and a line that is written anew, with other spaces or another order of fields, is another \
               document; `--id-field text` survives that.",
        ..id_field()
    }
}

/// `--seed N`.
pub const fn seed<A: Options>() -> Flag<A> {
    Flag::value(
        "seed",
        "N",
        "Seed of the random decisions",
        "Another seed, another sample; the clock is never asked.",
        |args: &mut A, value| {
            args.common().seed = Some(value.number()?);
            Ok(())
        },
    )
    .default(|_| "0".to_string())
}

/// More threads than this are a slip of the pen, and would run out of something else.
const THREADS_MAX: usize = 1024;

/// `--threads N`.
pub const fn threads<A: Options>() -> Flag<A> {
    Flag::value(
        "threads",
        "N",
        "Worker threads",
        "Without it, as many as the cores that this process may use. The output does not depend on it.",
        |args: &mut A, value| {
            args.common().threads = value.within(1, THREADS_MAX)?;
            Ok(())
        },
    )
    .common()
}

/// `--shard I/N`.
pub const fn shard<A: Options>() -> Flag<A> {
    Flag::value(
        "shard",
        "I/N",
        "Take the I-th (from 0) of N parts of each input file",
        "Parts are cut at line ends. Refused for pipes and compressed input.",
        |args: &mut A, value| {
            args.common().shard = Some(Shard::parse(value.text()?).ok_or("expected I/N with 0 <= I < N")?);
            Ok(())
        },
    )
    .input()
}

/// `--shard I/N` of vectors.
pub const fn shard_of_rows<A: Options>() -> Flag<A> {
    Flag { help: "Parts are ranges of rows. Refused for pipes and compressed input.", ..shard() }
}

/// `--headerless DIM:DTYPE`.
pub const fn headerless<A: Options>() -> Flag<A> {
    Flag::value(
        "headerless",
        "DIM:DTYPE",
        "Vectors are bare records of DIM little-endian floats",
        "DTYPE is f32 or f16; there are no `.npy` headers, and one record comes after the other.",
        |args: &mut A, value| {
            let raw = Raw::parse(value.text()?);
            args.common().raw = Some(raw.ok_or("expected DIM:f32 or DIM:f16, such as 384:f32")?);
            Ok(())
        },
    )
    .input()
}

/// `--on-error fail|skip`.
pub const fn on_error<A: Options>() -> Flag<A> {
    Flag::value(
        "on-error",
        "fail|skip",
        "What a bad record does: end the run, or be a missing row",
        "`fail`: exit 1 at the first one. `skip`: missing rows are counted and reported at the end.",
        |args: &mut A, value| {
            args.common().on_error = value.choice(&[("fail", OnError::Fail), ("skip", OnError::Skip)])?;
            Ok(())
        },
    )
    .input()
    .default(|_| "fail".to_string())
}

/// `--device auto|cpu|cuda[:I,...]` of a tool that computes on the CPU only.
pub const fn device<A: Options>() -> Flag<A> {
    Flag {
        help: "A GPU that is asked for and not there is an error. This version computes on the CPU only.",
        ..device_or_gpu()
    }
}

/// `--device auto|cpu|cuda[:I,...]` of a tool that computes on GPUs, too, where they are asked for.
pub const fn device_or_gpu<A: Options>() -> Flag<A> {
    Flag::value(
        "device",
        "auto|cpu|cuda[:I,...]",
        "Where to compute: the CPU, or NVIDIA GPUs by number",
        "`cuda` alone is GPU 0; several share the rows. A GPU that is asked for and not there is an error. `auto` is \
         the CPU in this version: see GPU.",
        |args: &mut A, value| {
            args.common().gpus = Gpus::parse(value.text()?)?;
            Ok(())
        },
    )
    .common()
    .default(|_| "auto".to_string())
}

/// `--stats FILE`.
pub const fn stats<A: Options>() -> Flag<A> {
    Flag::value(
        "stats",
        "FILE",
        "Write one JSON object about the run",
        "Rows, bad rows, bytes, seconds and more.",
        |args: &mut A, value| {
            args.common().stats = Some(value.path()?);
            Ok(())
        },
    )
    .output()
}

/// `--progress auto|always|never`.
pub const fn progress<A: Options>() -> Flag<A> {
    Flag::value(
        "progress",
        "auto|always|never",
        "Show on stderr how far the work has come",
        "`auto` does so on a terminal only.",
        |args: &mut A, value| {
            let choices = [("auto", Progress::Auto), ("always", Progress::Always), ("never", Progress::Never)];
            args.common().progress = value.choice(&choices)?;
            Ok(())
        },
    )
    .common()
    .default(|_| "auto".to_string())
}

/// Where a tool keeps the value of a flag.
type Set<A> = fn(&mut A, Value) -> Result<(), String>;

/// `--clusters FILE`.
pub const fn clusters<A>(set: Set<A>) -> Flag<A> {
    let help =
        "As kmeans-assign(1) writes it: the number of the cluster, then the distance. `-1` and `nan` are no cluster.";
    Flag::value("clusters", "FILE", "The column of clusters, a row a document", help, set).reads()
}

/// `--target FILE`, given once for each target.
pub const fn target<A>(set: Set<A>) -> Flag<A> {
    Flag::value("target", "FILE", "Counts of the corpus to resemble", "", set).reads()
}

/// `--weights FILE`.
pub const fn weights<A>(set: Set<A>) -> Flag<A> {
    Flag::value("weights", "FILE", "The column of weights, a row for each row of the input", "", set).reads()
}

/// `--centroids FILE`.
pub const fn centroids<A>(set: Set<A>) -> Flag<A> {
    let help = "An array has the shape (k, dim), of 16, 32 or 64-bit floats; the latter are rounded to 32 bits.";
    Flag::value("centroids", "FILE", "The centroids: a model of kmeans-fit(1), or a `.npy` array", help, set).reads()
}

/// `--cluster-field I`.
pub const fn cluster_field<A>(set: Set<A>) -> Flag<A> {
    Flag::value("cluster-field", "I", "Field of the cluster, counted from 1", "", set).input()
}

/// `--distance-field I`.
pub const fn distance_field<A>(set: Set<A>) -> Flag<A> {
    let help = "Without it the one behind the cluster.";
    Flag::value("distance-field", "I", "Field of the distance, counted from 1", help, set).input()
}

/// `--length-field I`.
pub const fn length_field<A>(set: Set<A>) -> Flag<A> {
    Flag::value("length-field", "I", "Field of the length, counted from 1", "", set).input()
}

/// `--key-field I`.
pub const fn key_field<A>(set: Set<A>) -> Flag<A> {
    Flag::value("key-field", "I", "Field of the document's key, counted from 1", "", set).input()
}

/// `--tokenizer FILE`.
pub const fn tokenizer<A>(set: Set<A>) -> Flag<A> {
    let (summary, help) =
        ("A tokenizer.json of Hugging Face, or a SentencePiece model", "The model is Unigram or BPE.");
    Flag::value("tokenizer", "FILE", summary, help, set).input()
}

/// `--bos auto|yes|no`.
pub const fn bos<A>(set: Set<A>) -> Flag<A> {
    let (values, summary) = ("auto|yes|no", "Put the token that begins texts before each document");
    Flag::value("bos", values, summary, "", set).default(|_| "auto".to_string())
}

/// `--eos`.
pub const fn eos<A>(set: Set<A>) -> Flag<A> {
    Flag::switch("eos", "End each document with the token that ends texts", "", set)
}

/// `--no-special`.
pub const fn no_special<A>(set: Set<A>) -> Flag<A> {
    Flag::switch("no-special", "Put no special tokens around the text", "", set)
}

/// `--max-length N`.
pub const fn max_length<A>(set: Set<A>) -> Flag<A> {
    Flag::value("max-length", "N", "Cut texts at N tokens, special ones included", "", set)
}

/// `--smoothing A`.
pub const fn smoothing<A>(set: Set<A>) -> Flag<A> {
    Flag::value("smoothing", "A", "Pseudo-count added to every bucket", "", set)
}

/// `--add`.
pub const fn add<A>(set: Set<A>) -> Flag<A> {
    Flag::switch("add", "Add up what earlier runs wrote, instead of reading rows", "", set)
}

/// `--compat SYSTEM`.
pub const fn compat<A>(set: Set<A>) -> Flag<A> {
    Flag::value("compat", "SYSTEM", "Do as the scripts of another system do", "", set)
}

/// `-n, --count N`.
pub const fn count<A>(set: Set<A>) -> Flag<A> {
    Flag::value("count", "N", "How many to take", "", set).short('n').count()
}

/// `--fraction F`.
pub const fn fraction<A>(set: Set<A>) -> Flag<A> {
    Flag::value("fraction", "F", "How many to take, as a share of those that qualify", "", set).count()
}

/// `--exclude FILE`.
pub const fn exclude<A>(set: Set<A>) -> Flag<A> {
    Flag::value("exclude", "FILE", "Clusters to leave out, one a line", "", set).reads()
}

/// `--plan FILE`.
pub const fn plan<A>(set: Set<A>) -> Flag<A> {
    Flag::value("plan", "FILE", "How many documents each cluster gives, by cluster-share(1)", "", set).reads()
}

/// `--clip C`.
pub const fn clip<A>(set: Set<A>) -> Flag<A> {
    let help = "From 1 to 65535. 1, the default, is sampling without replacement.";
    Flag::value("clip", "C", "Draw a document C times at the most", help, set)
}

/// `--shares exact|drawn`.
pub const fn shares<A>(set: Set<A>) -> Flag<A> {
    let help = "`exact` gives each cluster its share to the document. `drawn` draws one cluster after another in \
     proportion to the shares, so that numbers vary with the seed as they do in ClusterClip. Without it, exact where \
     --clip is 1, otherwise drawn.";
    Flag::value("shares", "exact|drawn", "How shares become numbers", help, set)
}

/// `--budget N`.
pub const fn budget<A>(set: Set<A>) -> Flag<A> {
    Flag::value("budget", "N", "As many as have N words or tokens together at the most", "", set).count()
}

/// `--min-length L`.
pub const fn min_length<A>(set: Set<A>) -> Flag<A> {
    Flag::value("min-length", "L", "Documents that are shorter do not qualify", "", set).count()
}

/// `--write-cut FILE`.
pub const fn write_cut<A>(set: Set<A>) -> Flag<A> {
    let help = "The column holds all shards, one after another.";
    Flag::value("write-cut", "FILE", "Write the thresholds that this choice comes down to", help, set).output()
}

/// `--cut FILE`.
pub const fn cut<A>(set: Set<A>) -> Flag<A> {
    let help = "The documents and the column are the shard's.";
    Flag::value("cut", "FILE", "Apply the thresholds of a choice to one shard", help, set).reads()
}

/// `--first-row R`.
pub const fn first_row<A>(set: Set<A>) -> Flag<A> {
    let help = "Needed only where a cut falls between equal documents.";
    Flag::value("first-row", "R", "How many rows stand before this shard", help, set).input()
}

/// `--out PATH`.
pub const fn out<A>(set: Set<A>) -> Flag<A> {
    Flag::value("out", "PATH", "Where the output goes", "", set).output()
}

/// `--precision`, the arithmetic of a model.
pub const fn precision<A>(set: Set<A>) -> Flag<A> {
    let help = "`exact`: to nothing that 32-bit floats, in which they are summed up, do not round to. `bf16` is less \
                exact, and several times faster where the processor has instructions for it (AMX, AVX512-BF16); \
                elsewhere it is refused.";
    Flag::value("precision", "exact|bf16", "What the factors of matrix products are rounded to", help, set)
}

/// `--dtype`, of the types that the tool can write.
pub const fn dtype<A>(types: &'static str, set: Set<A>) -> Flag<A> {
    Flag::value("dtype", types, "How the output stores a number", "", set).output()
}
