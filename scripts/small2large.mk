# The examples of an instruction dataset that are still being learned (Small2Large), with make(1): embedded, clustered,
# ranked by their learning percentage, and of each cluster those chosen that are learned last.
#
#   make -f small2large.mk DATA=alpaca.json PERPLEXITIES=perplexities.tsv SHARE=0.1 chosen.jsonl random.jsonl
#
# A run with another SHARE, K or MODEL redoes what depends on it, and nothing else. PARTS is not for the user here:
# SHARDS are those of the examples.
#
# DATA           the examples: a JSON array, as Alpaca's, or JSON Lines (alpaca.json)
# PERPLEXITIES   of each example before training and after each epoch, for lp-rank: columns, JSON Lines or
#                pickles; perplexities.py makes them (perplexities.tsv)
# CHECKPOINTS    folders of the model before training and after each epoch, in this order, in place of PERPLEXITIES:
#                lm-score makes these (none)
# PROMPTS        what they are asked, with CHECKPOINTS: the prompt and the response of each example, a line each;
#                perplexities.py makes it, too (prompts.jsonl)
# SCORE          flags of lm-score (--prompt-field prompt --field output --eos --max-length 512)
# EMBED          other flags of jsonl-embed: --template or --field (a template of Alpaca's fields)
# K              clusters (100)
# SHARE          the share of each cluster (0.1)
# CHOICE         other flags of the choice (--bottom --keys documents); for the numbers of Small2Large's scripts
#                --bottom --compat small2large
# SEED           of the baseline, as many examples of each cluster at random (0)
# DIR            (small2large.parts)
#
#   chosen.jsonl   the chosen examples
#   random.jsonl   the baseline
#
DATA ?= alpaca.json
PERPLEXITIES ?= perplexities.tsv
CHECKPOINTS ?=
PROMPTS ?= prompts.jsonl
SCORE ?= --prompt-field prompt --field output --eos --max-length 512
EMBED ?= --template 'Instruction: {instruction} Input: {input} Response: {output}'
K ?= 100
SHARE ?= 0.1
CHOICE ?= --bottom --keys documents
SEED ?= 0
DIR ?= small2large.parts

chosen.jsonl:
examples := $(DIR)/examples.jsonl
PARTS := $(examples)
# Checkpoints have numbers from 0.
add-checkpoint = $(eval number := $(words $(epochs)))$(eval checkpoint.$(number) := $1)$(eval epochs += $(number))
epochs :=
$(foreach folder,$(CHECKPOINTS),$(call add-checkpoint,$(folder)))
remembered := DATA PERPLEXITIES CHECKPOINTS PROMPTS SCORE SHARE CHOICE SEED $(epochs:%=checkpoint.%)
include $(dir $(lastword $(MAKEFILE_LIST)))clusters.mk

scores = $(epochs:%=$(DIR)/perplexity.%.tsv)
perplexities = $(if $(CHECKPOINTS),$(scores),$(PERPLEXITIES))
column = $(DIR)/clusters.tsv
ranks = $(examples) $(DIR)/lp.tsv
ends = chosen.jsonl random.jsonl
stages = $(if $(CHECKPOINTS),scores) ranks vectors $(fitting) clusters column ends

chosen.jsonl: $(examples) $(column) $(DIR)/lp.tsv $(call flags,SHARE CHOICE)
	topk-resample $(CHOICE) --group $(column) --per-group-fraction $(SHARE) --weights $(DIR)/lp.tsv $< $(to)

random.jsonl: $(examples) $(column) $(call flags,SHARE SEED)
	sed 's/.*/0/' $(column) | topk-resample --seed $(SEED) --keys documents \
	  --group $(column) --per-group-fraction $(SHARE) --weights - $< $(to)

$(column): $(call every,clusters.tsv)
	$(call all-to,clusters.tsv) cat $(to)

$(DIR)/lp.tsv: $(perplexities) $(call flags,PERPLEXITIES CHECKPOINTS)
	lp-rank $(perplexities) $(to)

$(scores): $(DIR)/perplexity.%.tsv: $(PROMPTS) $$(checkpoint.$$*)/config.json \
  $(DIR)/flags/checkpoint.% $(call flags,PROMPTS SCORE)
	lm-score --model $(checkpoint.$*) --columns perplexity $(SCORE) $< | cut -f 1 $(to)

# What begins with a bracket is an array.
$(examples): $(DATA) $(call flags,DATA)
	if [ "$$(head -c 4096 $< | tr -d ' \t\r\n' | cut -c 1)" = '[' ]; then jsonl-from-json $<; else cat $<; fi $(to)
