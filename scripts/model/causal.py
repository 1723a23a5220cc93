"""Tiny random causal models of every architecture, with what transformers computes in 32-bit floats: `causal.py DATA`.

A folder each, named `causal-...`: what `save_pretrained` writes, and `expected.safetensors` with
  ids.<i>   int32, one sequence of token ids
  nll.<i>   float32, the negative log-likelihoods (nats) of its tokens from the second one on
"""

import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    AutoModelForCausalLM, Gemma2Config, GPT2Config, GPTNeoXConfig, LlamaConfig, MistralConfig, OPTConfig, PreTrainedTokenizerFast,
    Qwen2Config, Qwen3Config, SmolLM3Config,
)

DATA = Path(sys.argv[1])
MERGES = [("t", "h"), ("th", "e"), ("i", "n"), ("Ġ", "the"), ("e", "r"), ("a", "n"), ("an", "d"), ("Ġ", "and"), ("Ġ", "a")]
SPECIAL = ["<s>", "</s>", "<unk>"]
VOCABULARY = len(SPECIAL) + 256 + len(MERGES)
LENGTHS = [2, 17, 70]
COMMON = dict(vocab_size=VOCABULARY, bos_token_id=0, eos_token_id=1, pad_token_id=None)
SHAPE = dict(COMMON, hidden_size=36, num_hidden_layers=2, num_attention_heads=3, max_position_embeddings=96)
GATED = dict(SHAPE, hidden_size=32, num_attention_heads=4, num_key_value_heads=2, intermediate_size=44)


def tokenizer(folder, has_bos):
    """Byte-level BPE; with `<s>` before every text or without."""
    pieces = SPECIAL + sorted(pre_tokenizers.ByteLevel.alphabet()) + [a + b for a, b in MERGES]
    t = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, MERGES))
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    if has_bos:
        t.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    names = dict(bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    PreTrainedTokenizerFast(tokenizer_object=t, **names).save_pretrained(folder)
    path = folder / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def shake(model, centre):
    """Random weights as large as trained ones: the initialisation's would leave most of a block without effect."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            scale = 0.2 if p.dim() == 1 else 1.5 / math.sqrt(p.shape[-1])
            is_norm = name.endswith("weight") and ("norm" in name or "ln_" in name)
            p.copy_(torch.randn(p.shape, generator=generator) * scale + (centre if is_norm else 0.0))
    return model.eval()


def sequences():
    generator = np.random.default_rng(3)
    return [generator.integers(len(SPECIAL), VOCABULARY, n) for n in LENGTHS]


def expect(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    arrays = {}
    for i, ids in enumerate(sequences()):
        ids = torch.tensor(ids)
        with torch.no_grad():
            logits = model(input_ids=ids[None]).logits[0, :-1].double()
        arrays[f"ids.{i}"] = ids.to(torch.int32)
        arrays[f"nll.{i}"] = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none").float()
    save_file(arrays, folder / "expected.safetensors")


def write(name, config, dtype=torch.float32, centre=1.0, has_bos=True, **save):
    folder = DATA / f"causal-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    model = shake(AutoModelForCausalLM.from_config(config), centre)
    model.to(dtype).save_pretrained(folder, **save)
    tokenizer(folder, has_bos)
    expect(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return folder


def older(folder, remove, **fields):
    """The configuration as transformers 4 wrote it."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    for name in remove:
        del config[name]
    config.update(fields)
    path.write_text(json.dumps(config, indent=2) + "\n")
    expect(folder)


def main():
    torch.set_num_threads(1)
    gpt2 = dict(COMMON, n_embd=36, n_layer=3, n_head=3, n_positions=96)
    write("gpt2", GPT2Config(**gpt2), has_bos=False)
    write("gpt2-scaled", GPT2Config(**gpt2, n_inner=50, scale_attn_by_inverse_layer_idx=True, tie_word_embeddings=False), torch.bfloat16)
    neox = dict(SHAPE, intermediate_size=52)
    folder = write("gpt-neox", GPTNeoXConfig(**neox, rope_parameters=dict(rope_theta=10000.0, rope_type="default", partial_rotary_factor=0.5)))
    older(folder, ["rope_parameters"], rotary_pct=0.5, rotary_emb_base=10000)
    write("gpt-neox-serial", GPTNeoXConfig(**dict(neox, hidden_size=48), use_parallel_residual=False, attention_bias=False), torch.float16)
    write("opt", OPTConfig(**SHAPE, ffn_dim=52, word_embed_proj_dim=36))
    write("opt-after", OPTConfig(**SHAPE, ffn_dim=52, word_embed_proj_dim=36, do_layer_norm_before=False), torch.float16)
    write("opt-mapped", OPTConfig(**SHAPE, ffn_dim=52, word_embed_proj_dim=20, do_layer_norm_before=False), torch.float16)
    folder = write("llama", LlamaConfig(**GATED, rope_parameters=dict(rope_theta=500.0, rope_type="default")), max_shard_size="30KB")
    older(folder, ["rope_parameters", "head_dim"], rope_theta=500.0, rope_scaling=None)
    rope = dict(rope_theta=1000.0, original_max_position_embeddings=24)
    write("llama-linear", LlamaConfig(**GATED, attention_bias=True, mlp_bias=True, rope_parameters=dict(rope, rope_type="linear", factor=3.0)))
    write("llama-llama3", LlamaConfig(**GATED, tie_word_embeddings=True, rope_parameters=dict(
        rope, rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0)), torch.bfloat16)
    write("llama-yarn", LlamaConfig(**GATED, head_dim=20, rope_parameters=dict(rope, rope_type="yarn", factor=4.0, beta_fast=16.0)))
    write("smollm3", SmolLM3Config(**GATED, no_rope_layer_interval=2, rope_parameters=dict(rope_theta=3000.0, rope_type="default")))
    write("mistral", MistralConfig(**GATED, sliding_window=9))
    write("qwen2", Qwen2Config(**GATED, use_sliding_window=True, sliding_window=5, max_window_layers=1, tie_word_embeddings=True), torch.bfloat16)
    write("qwen3", Qwen3Config(**GATED, head_dim=14))
    write("gemma2", Gemma2Config(**GATED, head_dim=12, query_pre_attn_scalar=24, sliding_window=7, attn_logit_softcapping=5.0,
                                 final_logit_softcapping=6.0), centre=0.0)


main()
