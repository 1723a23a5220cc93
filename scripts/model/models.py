"""Tiny random models of every architecture, with what the reference computes: `models.py DATA`.

A folder each: what `save_pretrained` or sentence-transformers writes, and `expected.safetensors` with
  ids.<i>      int32, one sequence of token ids
  hidden.<i>   float32, the final hidden states of that sequence alone
and, in the folders that sentence-transformers wrote, `expected.json`: texts, and the vectors its `encode` gives.

transformers has no JinaBERT v2 (its code lives in the model repository, jinaai/jina-bert-implementation). `JinaBert` below is
an independent, compact PyTorch rendering of that published definition: BERT's attention with ALiBi slopes added to the
scaled scores, no position table, and a gated feed-forward part `wo(gelu(first half) * second half)` with its own norm.
"""

import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import nn
from transformers import (
    BertConfig, BertForMaskedLM, BertModel, ModernBertConfig, ModernBertModel, MPNetConfig, MPNetForMaskedLM, MPNetModel, NomicBertConfig,
    NomicBertModel, PreTrainedTokenizerFast, RobertaConfig, RobertaModel, XLMRobertaConfig, XLMRobertaModel,
)

DATA = Path(sys.argv[1])
VOCABULARY = 200
LENGTHS = [2, 3, 17, 40]


def tokenizer(folder, kind, limit=None):
    """A tokenizer of 200 entries: WordPiece with [CLS] [SEP], or byte-level BPE with <s> </s>."""
    if kind == "bert":
        special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
        letters = [chr(c) for c in range(97, 123)] + [chr(c) for c in range(48, 58)] + list(".,:;!?()-'\"")
        words = ["the", "and", "of", "to", "in", "code", "model", "data", "cluster", "return", "for", "if", "word", "text", "é"]
        entries = special + letters + ["##" + l for l in letters[:36]] + words + ["##ing", "##ed", "##er"]
        assert len(set(entries)) == len(entries)
        vocabulary = {w: i for i, w in enumerate(entries)}
        for i in range(len(vocabulary), VOCABULARY):
            vocabulary[f"[unused{i}]"] = i
        t = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        t.normalizer = normalizers.BertNormalizer(lowercase=True)
        t.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        t.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
        names = dict(pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]", mask_token="[MASK]")
    else:
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        seen = sorted(pre_tokenizers.ByteLevel.alphabet(), key=lambda c: (c != "Ġ", c))[:190]
        vocabulary = {w: i for i, w in enumerate(special + seen)}
        merges = [("t", "h"), ("th", "e"), ("i", "n"), ("Ġ", "the"), ("e", "r")]
        for a, b in merges:
            vocabulary[a + b] = len(vocabulary)
        assert len(vocabulary) == VOCABULARY
        t = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>"))
        t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        t.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
        names = dict(pad_token="<pad>", unk_token="<unk>", cls_token="<s>", sep_token="</s>", bos_token="<s>", eos_token="</s>", mask_token="<mask>")
    more = dict(model_max_length=limit) if limit else {}
    fast = PreTrainedTokenizerFast(tokenizer_object=t, **names, **more)
    fast.save_pretrained(folder)
    settle(folder)


def settle(folder):
    """The library writes its table of special tokens in another order each time."""
    path = folder / "tokenizer.json"
    file = json.loads(path.read_text(encoding="utf-8"))
    special = file["post_processor"].get("special_tokens", {})
    file["post_processor"].update({"special_tokens": dict(sorted(special.items()))} if special else {})
    path.write_text(json.dumps(file, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def shake(model):
    """Random weights as large as trained ones: the initialisation's would leave most of a block without effect."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            scale = {1: 0.2}.get(p.dim(), 1.5 / math.sqrt(p.shape[-1]))
            p.copy_(torch.randn(p.shape, generator=generator) * scale + (1.0 if is_norm_weight(name) else 0.0))
    return model.eval().float()


def is_norm_weight(name):
    return name.endswith("weight") and ("norm" in name.lower() or "emb_ln" in name)


def sequences(pad):
    generator = np.random.default_rng(3)
    sequences = [generator.integers(5, VOCABULARY, n) for n in LENGTHS]
    assert not any((s == pad).any() for s in sequences)
    return sequences


def expect(folder, model, pad):
    arrays = {}
    for i, ids in enumerate(sequences(pad)):
        with torch.no_grad():
            hidden = model(input_ids=torch.tensor(ids[None]), attention_mask=torch.ones(1, len(ids), dtype=torch.long))[0]
        arrays[f"ids.{i}"] = torch.tensor(ids, dtype=torch.int32)
        arrays[f"hidden.{i}"] = hidden[0].contiguous()
    save_file(arrays, folder / "expected.safetensors")


def write(name, model, kind, base=None, limit=None, **save):
    folder = DATA / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model.save_pretrained(folder, **save)
    tokenizer(folder, kind, limit)
    expect(folder, base or model, 0 if kind == "bert" else 1)
    for extra in ["generation_config.json"]:
        (folder / extra).unlink(missing_ok=True)
    return folder


SHAPE = dict(vocab_size=VOCABULARY, hidden_size=36, num_hidden_layers=3, num_attention_heads=3, intermediate_size=52, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)


def slopes(heads):
    """ALiBi's slopes, as the paper's code has them for any number of heads."""
    def power(n):
        start = 2.0 ** (-(2.0 ** -(math.log2(n) - 3)))
        return [start ** (i + 1) for i in range(n)]
    if math.log2(heads).is_integer():
        return power(heads)
    closest = 2 ** math.floor(math.log2(heads))
    return power(closest) + slopes(2 * closest)[0::2][: heads - closest]


class JinaLayer(nn.Module):
    def __init__(self, d, f, eps):
        super().__init__()
        self.attention = nn.Module()
        self.attention.self = nn.Module()
        self.attention.self.query, self.attention.self.key, self.attention.self.value = (nn.Linear(d, d) for _ in range(3))
        self.attention.output = nn.Module()
        self.attention.output.dense, self.attention.output.LayerNorm = nn.Linear(d, d), nn.LayerNorm(d, eps)
        self.mlp = nn.Module()
        self.mlp.gated_layers, self.mlp.wo, self.mlp.layernorm = nn.Linear(d, 2 * f, bias=False), nn.Linear(f, d), nn.LayerNorm(d, eps)

    def forward(self, x, heads, bias, act):
        t, d = x.shape
        split = lambda m: m(x).view(t, heads, d // heads).transpose(0, 1)
        a = self.attention
        q, k, v = split(a.self.query), split(a.self.key), split(a.self.value)
        p = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(d // heads) + bias, dim=-1)
        x = a.output.LayerNorm(a.output.dense((p @ v).transpose(0, 1).reshape(t, d)) + x)
        gated, up = self.mlp.gated_layers(x).chunk(2, dim=-1)
        return self.mlp.layernorm(self.mlp.wo(act(gated) * up) + x)


class JinaBert(nn.Module):
    def __init__(self, d, heads, layers, f, act):
        super().__init__()
        self.heads, self.act = heads, act
        self.embeddings = nn.Module()
        self.embeddings.word_embeddings, self.embeddings.token_type_embeddings = nn.Embedding(VOCABULARY, d), nn.Embedding(2, d)
        self.embeddings.LayerNorm = nn.LayerNorm(d, 1e-12)
        self.encoder = nn.Module()
        self.encoder.layer = nn.ModuleList(JinaLayer(d, f, 1e-12) for _ in range(layers))

    def forward(self, input_ids, attention_mask=None):
        ids = input_ids[0]
        e = self.embeddings
        x = e.LayerNorm(e.word_embeddings(ids) + e.token_type_embeddings(torch.zeros_like(ids)))
        at = torch.arange(len(ids))
        bias = -torch.tensor(slopes(self.heads))[:, None, None] * (at[None] - at[:, None]).abs()
        for layer in self.encoder.layer:
            x = layer(x, self.heads, bias, self.act)
        return (x[None],)


def jina(name, feed_forward_type, act, heads, prefix):
    model = shake(JinaBert(heads * 12, heads, 2, 40, act))
    folder = DATA / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    save_file({prefix + k: v.half() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    model.load_state_dict({k: v.half().float() for k, v in model.state_dict().items()})
    config = dict(architectures=["JinaBertForMaskedLM"], model_type="bert", attn_implementation=None, emb_pooler="mean",
                  feed_forward_type=feed_forward_type, hidden_act="gelu", hidden_size=heads * 12, intermediate_size=40,
                  layer_norm_eps=1e-12, max_position_embeddings=8192, num_attention_heads=heads, num_hidden_layers=2,
                  pad_token_id=0, position_embedding_type="alibi", type_vocab_size=2, vocab_size=VOCABULARY)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    tokenizer(folder, "bert", 8192)
    expect(folder, model, 0)


TEXTS = ["", "the code of the model", "The Cluster's data; return (text) for words.", "éé 日本 zzz 🙂", "a b c d e f g h i j k l m n o p q r s t u v w x y z " * 4, "x"]


def sentence(name, base, kind, pooling, normalize, dense, limit, prompts=None, default=None, legacy=False):
    """A folder as sentence-transformers writes it, and its vectors."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling
    folder = DATA / name
    shutil.rmtree(folder, ignore_errors=True)
    source = Path(tempfile.mkdtemp())
    base.save_pretrained(source)
    tokenizer(source, kind, limit)
    modules = [Transformer(str(source)), Pooling(base.config.hidden_size, pooling)]
    if dense:
        torch.manual_seed(11)
        modules.append(Dense(base.config.hidden_size, dense[0], bias=dense[2], activation_function=dense[1]))
    if normalize:
        modules.append(Normalize())
    st = SentenceTransformer(modules=modules, device="cpu", prompts=prompts, default_prompt_name=default)
    st.save(str(folder), create_model_card=False)
    settle(folder)
    shutil.rmtree(source)
    if legacy:
        older(folder, limit, pooling)
    read = SentenceTransformer(str(folder), device="cpu")
    vectors = [read.encode([t], prompt=None, convert_to_numpy=True)[0] for t in TEXTS]
    (folder / "expected.json").write_text(json.dumps(dict(
        texts=TEXTS, max_length=read.max_seq_length, prompts=prompts or {}, default_prompt_name=default,
        vectors=[[float(x) for x in v] for v in vectors])) + "\n")


def older(folder, limit, pooling):
    """As releases before 5.4 wrote it: other module types, one flag a pooling mode, the limit in sentence_bert_config.json."""
    types = {"Transformer": "models.Transformer", "Pooling": "models.Pooling", "Normalize": "models.Normalize", "Dense": "models.Dense"}
    modules = json.loads((folder / "modules.json").read_text())
    for m in modules:
        m["type"] = "sentence_transformers." + types[m["type"].rsplit(".", 1)[1]]
    (folder / "modules.json").write_text(json.dumps(modules, indent=2))
    (folder / "sentence_bert_config.json").write_text(json.dumps(dict(max_seq_length=limit, do_lower_case=False), indent=2))
    config = json.loads((folder / "1_Pooling/config.json").read_text())
    flags = {f"pooling_mode_{k}": False for k in ["cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]}
    flags[{"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens", "lasttoken": "pooling_mode_lasttoken"}[pooling]] = True
    (folder / "1_Pooling/config.json").write_text(json.dumps(dict(word_embedding_dimension=config["embedding_dimension"], **flags), indent=2))


def main():
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    bert = shake(BertModel(BertConfig(**SHAPE, max_position_embeddings=64), add_pooling_layer=False))
    write("bert", bert, "bert", limit=64)
    masked = shake(BertForMaskedLM(BertConfig(**SHAPE, max_position_embeddings=96, hidden_act="gelu_new", layer_norm_eps=1e-5)))
    write("bert-masked", masked, "bert", masked.bert, max_shard_size="30KB")
    write("roberta", shake(RobertaModel(RobertaConfig(**SHAPE, max_position_embeddings=66, pad_token_id=1, type_vocab_size=1), add_pooling_layer=False)), "roberta", limit=64)
    write("xlm-roberta", shake(XLMRobertaModel(XLMRobertaConfig(**SHAPE, max_position_embeddings=66, pad_token_id=1, type_vocab_size=1, layer_norm_eps=1e-5), add_pooling_layer=False)), "roberta", limit=64)
    mpnet_shape = {**SHAPE, "intermediate_size": 44}
    write("mpnet", shake(MPNetModel(MPNetConfig(**mpnet_shape, max_position_embeddings=66, relative_attention_num_buckets=32), add_pooling_layer=False)), "roberta", limit=64)
    nomic_shape = {k: v for k, v in SHAPE.items()}
    write("nomic-bert", shake(NomicBertModel(NomicBertConfig(**nomic_shape, max_position_embeddings=2048), add_pooling_layer=False)), "bert", limit=2048)
    modern = ModernBertConfig(vocab_size=VOCABULARY, hidden_size=36, num_hidden_layers=4, num_attention_heads=3, intermediate_size=52,
                              local_attention=12, max_position_embeddings=128, pad_token_id=0, bos_token_id=2, cls_token_id=2, eos_token_id=3, sep_token_id=3,
                              attn_implementation="sdpa")
    write("modern-bert", shake(ModernBertModel(modern)), "bert", limit=128)
    jina("jina-bert", "geglu", nn.GELU(), 3, "")
    jina("jina-bert-reglu", "reglu", nn.ReLU(), 6, "bert.")
    sixteen(bert)
    original_nomic()
    small = {**SHAPE, "hidden_size": 24, "num_hidden_layers": 2, "intermediate_size": 28}
    tiny = shake(BertModel(BertConfig(**small, max_position_embeddings=48), add_pooling_layer=False))
    sentence("sentence-mean", tiny, "bert", "mean", True, None, 32, legacy=True)
    sentence("sentence-cls", tiny, "bert", "cls", False, None, 40, prompts={"query": "query: ", "passage": "the text: "}, default="passage")
    sentence("sentence-last", tiny, "bert", "lasttoken", True, (10, nn.Tanh(), True), 32, legacy=True)
    sentence("sentence-dense", tiny, "bert", "mean", False, (30, nn.Identity(), False), 64)


def sixteen(bert):
    """The first model in f16 and in bf16, with what the rounded weights compute."""
    for name, dtype in [("bert-f16", torch.float16), ("bert-bf16", torch.bfloat16)]:
        rounded = BertModel(bert.config, add_pooling_layer=False)
        rounded.load_state_dict({k: v.to(dtype).float() for k, v in bert.state_dict().items()})
        folder = write(name, rounded.eval(), "bert", limit=64)
        save_file({k: v.to(dtype) for k, v in rounded.state_dict().items()}, folder / "model.safetensors", metadata={"format": "pt"})


def original_nomic():
    """The same NomicBERT under the configuration of the original repository (n_embd, Wqkv, fc11 ...)."""
    source, folder = DATA / "nomic-bert", DATA / "nomic-bert-original"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(dict(
        architectures=["NomicBertModel"], model_type="nomic_bert", activation_function="swiglu", causal=False,
        layer_norm_epsilon=1e-12, mlp_fc1_bias=False, mlp_fc2_bias=False, n_embd=36, n_head=3, n_inner=52, n_layer=3, n_positions=8192,
        num_heads_kv=None, prenorm=False, qkv_proj_bias=False, rotary_emb_base=config["rope_parameters"]["rope_theta"],
        rotary_emb_fraction=1.0, rotary_emb_interleaved=False, rotary_emb_scale_base=None, rotary_scaling_factor=None,
        max_trained_positions=2048, type_vocab_size=2, use_rms_norm=False, vocab_size=VOCABULARY), indent=2) + "\n")


if __name__ == "__main__":
    main()
