# CEPE's training data out of texts, with make(1): sequences with the tokens before them, and beside each the likeliest
# tokens that a model expects, as one Mosaic dataset each.
#
#   make -f cepe.mk -j4 PARTS="a.jsonl b.jsonl" MODEL=llama-2-7b JOBS=4 cepe
#
# leaves sequences in cepe/data and what belongs to them, sample by sample, in cepe/targets.
#
# MODEL      the folder of the model that annotates; its tokenizer makes the tokens (model)
# TOKENIZE   flags of jsonl-tokenize
# LENGTH     tokens of a sequence (2048)
# PREV       tokens before it that go with it (6144)
# CONTEXT    tokens before it that the model sees, the last of these (2048)
# PACK       other flags of pack-tokens (--mode within --mds-encoding pkl --dtype i32, which CEPE's loader reads)
# TOP        how many tokens are told (50)
# SCORE      other flags of lm-score
# JOBS       parts of the sequences that are annotated by themselves (4)
# DIR        where all of it goes (cepe)
#
#   cepe       DIR/data and DIR/targets
#
PARTS ?= docs.jsonl
MODEL ?= model
TOKENIZE ?=
LENGTH ?= 2048
PREV ?= 6144
CONTEXT ?= 2048
PACK ?= --mode within --mds-encoding pkl --dtype i32
TOP ?= 50
SCORE ?=
JOBS ?= 4
DIR ?= cepe

.PHONY: cepe
cepe:
remembered := MODEL TOKENIZE LENGTH PREV CONTEXT PACK TOP SCORE JOBS
include $(dir $(lastword $(MAKEFILE_LIST)))parts.mk

tokens = $(call each,tokens.npy)
data = $(DIR)/data/index.json
annotations := $(patsubst %,$(DIR)/targets/%,$(call below,$(JOBS)))
annotated = $(annotations:%=%/index.json)
ends = $(DIR)/targets/index.json
stages = tokens data annotated ends

cepe: $(data) $(ends)

$(ends): $(annotated)
	mds-merge --out $(DIR)/targets $(annotations)

# What is finished is of other data or flags; what is not finished goes on.
$(annotated): $(DIR)/targets/%/index.json: $(data) $(call flags,MODEL CONTEXT TOP SCORE JOBS)
	if [ -e $@ ]; then rm -r $(@D); fi && mkdir -p $(@D) && \
	  lm-score --model $(MODEL) --input mds --context-max $(CONTEXT) --top-k $(TOP) --shard $*/$(JOBS) $(SCORE) \
	  --resume --out $(@D) $(DIR)/data

$(data): $(call every,tokens.npy) $(call flags,LENGTH PREV PACK)
	if [ -e $(@D) ]; then rm -r $(@D); fi && \
	  pack-tokens --length $(LENGTH) --prev $(PREV) $(PACK) --format mds --out $(@D) $(call all,tokens.npy)

$(tokens): $(DIR)/%.tokens.npy: $(documents) $(MODEL)/tokenizer.json $(call flags,MODEL TOKENIZE)
	jsonl-tokenize --tokenizer $(MODEL)/tokenizer.json $(TOKENIZE) $(part) $(to)
