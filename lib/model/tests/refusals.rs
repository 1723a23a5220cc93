//! A folder with a missing, wrong or unknown part is refused by one line that names the file and the field or tensor.

use model::causal::CausalModel;
use model::folder::Model;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A copy of a fixture that goes away with the value.
struct Folder(PathBuf);

impl Folder {
    fn of(fixture: &str) -> Folder {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let to = std::env::temp_dir().join(format!("model-{}-{number}", std::process::id()));
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(fixture), &to);
        Folder(to)
    }

    fn edit(self, file: &str, change: impl FnOnce(&mut Value)) -> Folder {
        let path = self.0.join(file);
        let mut value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut value);
        self.write(file, value.to_string().as_bytes())
    }

    fn set(self, file: &str, field: &str, value: Value) -> Folder {
        self.edit(file, |v| v[field] = value)
    }

    fn write(self, file: &str, bytes: &[u8]) -> Folder {
        std::fs::write(self.0.join(file), bytes).unwrap();
        self
    }

    fn remove(self, file: &str) -> Folder {
        std::fs::remove_file(self.0.join(file)).unwrap();
        self
    }

    /// The tensor called another name of the same length, so that no offset moves.
    fn rename_tensor(self, from: &str, to: &str) -> Folder {
        assert_eq!(from.len(), to.len());
        let bytes = std::fs::read(self.0.join("model.safetensors")).unwrap();
        let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
        let changed = [&bytes[..at], to.as_bytes(), &bytes[at + from.len()..]].concat();
        self.write("model.safetensors", &changed)
    }

    /// Opening must fail; the message without the folder.
    fn refusal(&self) -> String {
        match Model::open(&self.0) {
            Ok(_) => "no error".into(),
            Err(why) => why.to_string().replace(&format!("{}/", self.0.display()), ""),
        }
    }

    fn open(&self) -> Model {
        Model::open(&self.0).unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

#[track_caller]
fn refused(folder: Folder, expected: &str) {
    let why = folder.refusal();
    assert!(why.contains(expected) && !why.contains('\n'), "{why}");
}

#[track_caller]
fn refused_as_causal(folder: Folder, expected: &str) {
    let model = CausalModel::open(&folder.0);
    let model = model.and_then(|model| model.blocks.iter().try_for_each(|block| block.map(drop)));
    let why = model.map_or_else(|why| why.to_string(), |_| "no error".into());
    assert!(why.contains(expected) && !why.contains('\n'), "{why}");
}

#[test]
fn causal_folders_that_are_not_understood_are_refused() {
    let config = |fixture: &str, field: &str, value: Value| Folder::of(fixture).set("config.json", field, value);
    let known = "known are GPT2LMHeadModel, GPTNeoXForCausalLM, OPTForCausalLM, LlamaForCausalLM, ";
    refused_as_causal(
        Folder::of("bert"),
        "architecture \"BertModel\" is not known as a causal model; known are GPT2LMHead",
    );
    refused_as_causal(config("causal-llama", "architectures", json!(["Gemma3ForCausalLM"])), known);
    refused_as_causal(config("causal-llama", "architectures", json!(["LlamaForSequenceClassification"])), known);
    let quantised = config("causal-llama", "quantization_config", json!({"quant_method": "gptq"}));
    refused_as_causal(quantised, "config.json: quantization_config: quantised weights are not supported");
    for kind in ["dynamic", "longrope", "ntk"] {
        let rope = json!({"rope_type": kind, "factor": 2.0});
        let why = format!("config.json: rope_type {kind:?} is not supported, only default, linear, llama3 and yarn");
        refused_as_causal(config("causal-llama", "rope_scaling", rope.clone()), &why);
        refused_as_causal(config("causal-qwen3", "rope_parameters", rope), &why);
    }
    let linear = config("causal-llama", "rope_scaling", json!({"type": "linear"}));
    refused_as_causal(linear, "rope_parameters.factor or rope_scaling.factor is missing");
    refused_as_causal(
        config("causal-opt", "word_embed_proj_dim", json!(20)),
        "tensor \"model.decoder.embed_tokens.weight\": expected shape [268, 20], found [268, 36]",
    );
    refused_as_causal(
        config("causal-gpt2", "add_cross_attention", json!(true)),
        "add_cross_attention: true is not supported",
    );
    refused_as_causal(
        config("causal-gemma2", "layer_types", json!(["full_attention"])),
        "layer_types: expected 2, found 1",
    );
    refused_as_causal(
        config("causal-qwen2", "layer_types", json!(["full_attention", "linear_attention"])),
        "is not known",
    );
    refused_as_causal(config("causal-mistral", "num_key_value_heads", json!(null)), "num_key_value_heads is missing");
    refused_as_causal(
        config("causal-llama", "num_key_value_heads", json!(3)),
        "num_key_value_heads: 3 do not divide 4",
    );
    refused_as_causal(
        config("causal-llama", "head_dim", json!(6)),
        "self_attn.q_proj.weight\": expected shape [24, 32]",
    );
    refused_as_causal(
        config("causal-gpt2", "tie_word_embeddings", json!(false)),
        "tensor \"lm_head.weight\" is missing",
    );
    refused_as_causal(config("causal-gpt2", "vocab_size", json!(267)), "expected shape [267, 36], found [268, 36]");
    refused_as_causal(
        config("causal-smollm3", "no_rope_layers", json!([1])),
        "no_rope_layers: expected 2 numbers, 0 or 1",
    );
    refused_as_causal(
        config("causal-smollm3", "use_sliding_window", json!(true)),
        "use_sliding_window: true is not supported",
    );
    let token = Folder::of("causal-gpt2").set("tokenizer_config.json", "bos_token", json!("<none>"));
    refused_as_causal(token, "tokenizer_config.json: bos_token: \"<none>\" is not in tokenizer.json");
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    for (fixture, value) in [("causal-opt", f32::NAN), ("bert", f32::INFINITY)] {
        let folder = Folder::of(fixture);
        let mut bytes = std::fs::read(folder.0.join("model.safetensors")).unwrap();
        let at = bytes.len() - 4;
        bytes[at..].copy_from_slice(&value.to_le_bytes());
        let folder = folder.write("model.safetensors", &bytes);
        let why = format!("has the value {value}");
        if fixture == "bert" { refused(folder, &why) } else { refused_as_causal(folder, &why) }
    }
}

#[test]
fn missing_files_are_named() {
    refused(Folder::of("bert").remove("config.json"), "config.json: No such file or directory");
    refused(Folder::of("bert").remove("tokenizer.json"), "tokenizer.json: No such file or directory");
    refused(Folder::of("bert").remove("model.safetensors"), "model.safetensors: No such file or directory");
    let old = Folder::of("bert").remove("model.safetensors").write("pytorch_model.bin", b"");
    refused(old, "model.safetensors: is missing, and pytorch_model.bin is not read");
    refused(
        Folder::of("bert-masked").remove("model-00002-of-00006.safetensors"),
        "model-00002-of-00006.safetensors: No such file",
    );
    refused(Folder::of("sentence-last").remove("1_Pooling/config.json"), "1_Pooling/config.json: No such file");
    refused(Folder::of("sentence-last").remove("2_Dense/model.safetensors"), "2_Dense/model.safetensors: No such file");
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    assert!(
        Model::open(&file)
            .unwrap_err()
            .to_string()
            .ends_with("Cargo.toml: expected the folder of a model, found a file")
    );
    assert_eq!(Model::open(Path::new("/nowhere")).unwrap_err().to_string(), "/nowhere: no such folder");
}

#[test]
fn files_that_are_not_json_are_named() {
    for file in [
        "config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
        "config_sentence_transformers.json",
    ] {
        refused(Folder::of("sentence-cls").write(file, b"{"), &format!("{file}: EOF while parsing"));
    }
    refused(Folder::of("bert").write("config.json", b"[]"), "config.json: expected an object, found an array");
}

#[test]
fn unknown_architectures_are_named() {
    let known = "known are Bert, JinaBert, Roberta, XLMRoberta, MPNet, NomicBert, ModernBert";
    for class in ["NewModel", "LlamaForCausalLM", "DebertaV2Model", "BertGenerationEncoder", ""] {
        let folder = Folder::of("bert").set("config.json", "architectures", json!([class]));
        refused(folder, &format!("config.json: architecture {class:?} is not known; {known}"));
    }
    let by_type = |kind: &str| {
        Folder::of("bert").edit("config.json", |c| {
            c.as_object_mut().unwrap().remove("architectures");
            c["model_type"] = json!(kind);
        })
    };
    refused(by_type("t5"), "config.json: architecture \"t5\" is not known");
    assert_eq!(by_type("bert").open().dim(), 36);
}

#[test]
fn settings_that_change_the_computation_are_refused_by_name() {
    for (fixture, field, value, expected) in [
        (
            "bert",
            "position_embedding_type",
            json!("relative_key"),
            "position_embedding_type: \"relative_key\" is not supported, only \"absolute\"",
        ),
        ("bert", "hidden_act", json!("gelu_fast"), "hidden_act: activation \"gelu_fast\" is not known"),
        ("bert", "hidden_act", json!(3), "hidden_act: expected a string, found 3"),
        ("bert", "is_decoder", json!(true), "is_decoder: true is not supported, only false"),
        ("bert", "quantization_config", json!({}), "quantization_config: quantised weights are not supported"),
        ("bert", "hidden_size", json!(-4), "hidden_size or n_embd: expected a positive whole number, found -4"),
        ("bert", "hidden_size", json!(1e30), "hidden_size or n_embd: expected a positive whole number"),
        ("bert", "num_attention_heads", json!(5), "5 attention heads do not divide a hidden size of 36"),
        ("bert", "num_hidden_layers", json!(null), "num_hidden_layers or n_layer is missing"),
        ("bert", "layer_norm_eps", json!("x"), "layer_norm_eps: expected a positive number, found \"x\""),
        ("bert", "layer_norm_eps", json!(0), "layer_norm_eps: expected a positive number, found 0"),
        (
            "jina-bert",
            "feed_forward_type",
            json!("original"),
            "feed_forward_type: \"original\" is not supported, only geglu and reglu",
        ),
        (
            "jina-bert-reglu",
            "position_embedding_type",
            json!("absolute"),
            "position_embedding_type: only \"alibi\" is supported for JinaBert",
        ),
        (
            "mpnet",
            "relative_attention_num_buckets",
            json!(64),
            "relative_attention_num_buckets: 64 is not supported, only 32",
        ),
        (
            "nomic-bert-original",
            "rotary_scaling_factor",
            json!(2),
            "rotary_scaling_factor: 2 is not supported, only null",
        ),
        (
            "nomic-bert-original",
            "rotary_emb_interleaved",
            json!(true),
            "rotary_emb_interleaved: true is not supported, only false",
        ),
        (
            "nomic-bert-original",
            "rotary_emb_fraction",
            json!(0.5),
            "rotary_emb_fraction: 0.5 is not supported, only 1.0",
        ),
        ("nomic-bert-original", "prenorm", json!(true), "prenorm: true is not supported, only false"),
        ("nomic-bert-original", "num_heads_kv", json!(1), "num_heads_kv: 1 is not supported, only as many as n_head"),
        (
            "nomic-bert-original",
            "activation_function",
            json!("glu"),
            "activation_function: \"glu\" is not supported, only swiglu and geglu",
        ),
        ("nomic-bert-original", "mlp_fc1_bias", json!(true), "tensor \"encoder.layers.0.mlp.fc12.bias\" is missing"),
        ("modern-bert", "layer_types", json!(["full_attention"]), "layer_types: expected 4, found 1"),
        ("modern-bert", "layer_types", json!(["full_attention", "x", "x", "x"]), "layer_types: \"x\" is not known"),
        (
            "modern-bert",
            "rope_parameters",
            json!({"full_attention": {"rope_type": "yarn"}}),
            "rope_type: \"yarn\" is not supported, only \"default\"",
        ),
        ("modern-bert", "num_attention_heads", json!(4), "heads of 9 values cannot have rotary positions"),
        ("roberta", "max_position_embeddings", json!(2), "expected shape [2, 36], found [66, 36]"),
    ] {
        refused(Folder::of(fixture).set("config.json", field, value), expected);
    }
}

#[test]
fn tensors_are_named() {
    let rename = |from: &str, to: &str| Folder::of("bert").rename_tensor(from, to);
    refused(
        rename("encoder.layer.1.output.dense.weight", "encoder.layer.9.output.dense.weight"),
        "model.safetensors: tensor \"encoder.layer.1.output.dense.weight\" is missing",
    );
    refused(
        rename("embeddings.word_embeddings.weight", "embeddings.word_embeddingX.weight"),
        "tensor \"embeddings.word_embeddings.weight\" is missing (looked also for \
         bert.embeddings.word_embeddings.weight",
    );
    let wider = Folder::of("bert").set("config.json", "intermediate_size", json!(53));
    refused(wider, "tensor \"encoder.layer.0.intermediate.dense.weight\": expected shape [53, 36], found [52, 36]");
    let huge = Folder::of("bert").set("config.json", "vocab_size", json!(1u64 << 62));
    refused(
        huge,
        "tensor \"embeddings.word_embeddings.weight\": expected shape [4611686018427387904, 36], found [200, 36]",
    );
    let many = Folder::of("bert").set("config.json", "num_hidden_layers", json!(1u64 << 60));
    refused(many, "tensor \"encoder.layer.3.attention.self.query.weight\" is missing");
    let cut = Folder::of("bert");
    let bytes = std::fs::read(cut.0.join("model.safetensors")).unwrap();
    refused(cut.write("model.safetensors", &bytes[..bytes.len() - 1]), "(is the file cut short?)");
}

#[test]
fn a_lying_index_is_refused() {
    let index = "model.safetensors.index.json";
    refused(Folder::of("bert-masked").write(index, b"{}"), "index.json: weight_map is missing");
    refused(
        Folder::of("bert-masked").set(index, "weight_map", json!({"a": 1})),
        "index.json: weight_map: invalid type",
    );
    let outside = Folder::of("bert-masked").set(index, "weight_map", json!({"a": "../bert/model.safetensors"}));
    refused(outside, "weight_map: \"../bert/model.safetensors\" is not a file of this folder");
    let wrong = Folder::of("bert-masked")
        .edit(index, |v| v["weight_map"]["nothing"] = json!("model-00001-of-00006.safetensors"));
    refused(wrong, "weight_map: tensor \"nothing\" is not in model-00001-of-00006.safetensors");
    refused(
        Folder::of("bert-masked").set(index, "weight_map", json!({})),
        "tensor \"embeddings.word_embeddings.weight\" is missing",
    );
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let other = Folder::of("bert").edit("tokenizer.json", |t| t["model"]["vocab"]["more"] = json!(200));
    refused(
        other,
        "tokenizer.json: has ids up to 200, but the model's embedding table has 200 rows: they do not belong together",
    );
    refused(Folder::of("bert").set("tokenizer.json", "model", json!({"type": "Nothing"})), "tokenizer.json: ");
}

#[test]
fn modules_that_are_not_known_are_named() {
    let modules = |change: fn(&mut Value)| Folder::of("sentence-last").edit("modules.json", change);
    refused(
        modules(|m| m[2]["type"] = json!("sentence_transformers.models.LayerNorm")),
        "module \"LayerNorm\" is not supported",
    );
    refused(
        modules(|m| m[0]["type"] = json!("sentence_transformers.models.BoW")),
        "modules.json: first module: expected a Transformer, found \"BoW\"",
    );
    refused(
        modules(|m| m[1]["path"] = json!("../1_Pooling")),
        "modules.json: module 1: path \"../1_Pooling\" is not inside the folder",
    );
    refused(modules(|m| m[1] = json!(5)), "modules.json: module 1: expected the strings type and path");
    refused(modules(|m| *m = json!({})), "modules.json: expected an array of modules");
    refused(modules(|m| *m = json!([])), "modules.json: first module: expected a Transformer, found none");
    refused(modules(|m| m.as_array_mut().unwrap().swap(1, 2)), "a Dense in this place is not supported");
}

#[test]
fn heads_that_do_not_fit_are_refused() {
    let pooling = |field: &str, value: Value| Folder::of("sentence-mean").set("1_Pooling/config.json", field, value);
    refused(
        pooling("pooling_mode_max_tokens", json!(true)),
        "pooling max and mean is not supported, only one of mean, cls and lasttoken",
    );
    refused(
        pooling("word_embedding_dimension", json!(25)),
        "embedding_dimension or word_embedding_dimension: 25 is not supported, only 24",
    );
    refused(pooling("include_prompt", json!(false)), "include_prompt: false is not supported, only true");
    let newer = Folder::of("sentence-cls").set("1_Pooling/config.json", "pooling_mode", json!("weightedmean"));
    refused(newer, "pooling weightedmean is not supported");
    let dense = |field: &str, value: Value| Folder::of("sentence-last").set("2_Dense/config.json", field, value);
    refused(
        dense("activation_function", json!("torch.nn.modules.activation.GELU")),
        "activation_function: \"GELU\" is not supported",
    );
    refused(dense("out_features", json!(11)), "tensor \"linear.weight\": expected shape [11, 24], found [10, 24]");
    refused(dense("in_features", json!(23)), "in_features: 23 is not supported, only 24");
    refused(dense("use_residual", json!(true)), "use_residual: true is not supported");
    let prompt =
        Folder::of("sentence-cls").set("config_sentence_transformers.json", "default_prompt_name", json!("nothing"));
    refused(prompt, "default_prompt_name: \"nothing\" is not among the prompts");
}

#[test]
fn the_folder_says_how_long_a_text_may_be() {
    let length = |folder: &Folder| folder.open().tokenizer.length_max();
    assert_eq!(length(&Folder::of("sentence-mean")), 32, "sentence_bert_config.json");
    assert_eq!(length(&Folder::of("sentence-cls")), 40, "tokenizer_config.json");
    let unlimited = Folder::of("sentence-cls").set("tokenizer_config.json", "model_max_length", json!(1e30));
    assert_eq!(length(&unlimited), 48, "max_position_embeddings");
    let roberta = Folder::of("roberta").set("tokenizer_config.json", "model_max_length", json!(1e30));
    assert_eq!(length(&roberta), 64, "without the two rows in front");
    let long = Folder::of("sentence-mean").set("sentence_bert_config.json", "max_seq_length", json!(512));
    assert_eq!(length(&long), 48, "no more than there are positions");
    let other = Folder::of("sentence-mean").edit("tokenizer.json", |t| {
        t["truncation"] = json!({"max_length": 8, "strategy": "LongestFirst", "stride": 0, "direction": "Right"});
        t["padding"] = json!({"strategy": {"Fixed": 8}, "direction": "Right", "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"});
    });
    let (tokenizer, mut ids) = (other.open().tokenizer, Vec::new());
    assert!(!tokenizer.encode("a b c d e f g h i j", &mut ids).unwrap());
    assert_eq!(ids.len(), 12, "neither cut nor padded to 8");
    assert!(tokenizer.encode(&"a ".repeat(31), &mut ids).unwrap());
    assert_eq!((ids.len(), ids[0], ids[31]), (32, 2, 3), "[CLS] and [SEP] are within the limit");
}

#[test]
fn a_limit_that_cannot_be_is_refused() {
    let mut model = Folder::of("sentence-mean").open();
    assert_eq!(
        model.set_length_max(49).unwrap_err().to_string(),
        "max-length: a maximum length of 49, but the model has 48 positions"
    );
    assert_eq!(
        model.set_length_max(1).unwrap_err().to_string(),
        "max-length: a maximum length of 1, which leaves no room for the 2 special ones"
    );
    model.set_length_max(2).unwrap();
    let mut ids = Vec::new();
    assert!(model.tokenizer.encode("a", &mut ids).unwrap());
    assert_eq!(ids, [2, 3]);
}

#[test]
fn windows_are_the_whole_text() {
    let tokenizer = Folder::of("sentence-mean").open().tokenizer.with_length_max(6).unwrap();
    let windows = |text: &str| {
        let (mut ids, mut all) = (Vec::new(), Vec::new());
        tokenizer.encode_windows(text, &mut ids, |window| all.push(window.to_vec())).unwrap();
        all
    };
    assert_eq!(windows("a b c d e f"), [vec![2, 5, 6, 7, 8, 3], vec![2, 9, 10, 3]]);
    assert_eq!(windows("a b c d"), [vec![2, 5, 6, 7, 8, 3]]);
    assert_eq!(windows(""), [vec![2, 3]]);
}

#[test]
fn prompts_are_found_by_name() {
    let model = Folder::of("sentence-cls").open();
    assert_eq!(model.default_prompt.as_deref(), Some("passage"));
    assert_eq!(model.prompt("query").unwrap(), "query: ");
    let why = model.prompt("other").unwrap_err().to_string();
    assert_eq!(why, "prompt: the model has no prompt \"other\"; it has document, passage, query");
}

#[test]
fn lower_casing_comes_from_the_folder() {
    let cased = |lower: bool| {
        let folder =
            Folder::of("sentence-mean").edit("tokenizer.json", |t| t["normalizer"]["lowercase"] = json!(false));
        let folder = folder.set("sentence_bert_config.json", "do_lower_case", json!(lower));
        let mut ids = Vec::new();
        folder.open().tokenizer.encode("ABC", &mut ids).unwrap();
        ids
    };
    assert_eq!(cased(false), [2, 1, 3]);
    assert!(!cased(true).contains(&1));
}
