"""A GGUF file as a folder of bf16 safetensors, by transformers: `dequantize.py FILE.gguf DIR`."""

import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

file, folder = Path(sys.argv[1]), sys.argv[2]
packed = AutoModelForCausalLM.from_pretrained(str(file.parent), gguf_file=file.name, dtype=torch.float32)
# The library refuses to save what came out of such a file, although it holds plain floats then: a fresh model takes them over.
config = packed.config
if hasattr(config, "quantization_config"):
    del config.quantization_config
model = AutoModelForCausalLM.from_config(config)
model.load_state_dict(packed.state_dict())
tokenizer = AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)
model.to(torch.bfloat16).save_pretrained(folder)
tokenizer.save_pretrained(folder)
