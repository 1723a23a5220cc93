# CEPE's training data out of texts, with make(1): sequences with the tokens before them, and beside each the likeliest
# tokens that a model expects, as one Mosaic dataset each.
#
#   make -f scripts/cepe.mk -j4 DOCS=docs.jsonl MODEL=llama-2-7b JOBS=4 cepe
#
# leaves sequences in cepe/data and what belongs to them, sample by sample, in cepe/targets. A run that was stopped goes
# on where it stopped. On a cluster with a shared disk:
#
#   salloc -n8 make -f scripts/cepe.mk -j8 SHELL=srun .SHELLFLAGS='-n1 -N1 bash -c' ...
#
# DOCS       files of documents
# MODEL      the folder of the model that annotates; its tokenizer makes the tokens
# TOKENIZE   flags of jsonl-tokenize
# LENGTH     tokens of a sequence (2048), of which the model sees the last CONTEXT before it (2048) of PREV (6144)
# PACK       other flags of pack-tokens (--mode within --mds-encoding pkl --dtype i32, which CEPE's loader reads)
# TOP        how many tokens are told (50)
# SCORE      other flags of lm-score
# JOBS       parts that are annotated by themselves (4)
# DIR        where all of it goes (cepe)

DOCS ?= docs.jsonl
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
export TOKENIZE LENGTH PREV CONTEXT PACK TOP SCORE JOBS

.DELETE_ON_ERROR:
.PHONY: always cepe

# $(DIR)/NAME.flags is written anew where the flags are others than before.
$(DIR)/%.flags: always
	@mkdir -p $(DIR)
	@printenv $* | cmp -s - $@ || printenv $* > $@

# $(call count,N): 0 1 ... N-1.
count = $(if $(filter $1,$(words $2)),,$(words $2) $(call count,$1,$2 x))
targets = $(patsubst %,$(DIR)/targets/%,$(call count,$(JOBS)))

cepe: $(DIR)/data/index.json $(DIR)/targets/index.json

$(DIR)/targets/index.json: $(targets:%=%/index.json)
	mds-merge --out $(DIR)/targets $(targets)

# What is finished is of other data or flags; what is not finished goes on.
$(targets:%=%/index.json): $(DIR)/targets/%/index.json: $(DIR)/data/index.json \
  $(DIR)/CONTEXT.flags $(DIR)/TOP.flags $(DIR)/SCORE.flags $(DIR)/JOBS.flags
	if [ -e $@ ]; then rm -r $(@D); fi
	mkdir -p $(@D)
	lm-score --model $(MODEL) --input mds --context-max $(CONTEXT) --top-k $(TOP) --shard $*/$(JOBS) $(SCORE) \
	  --resume --out $(@D) $(DIR)/data

$(DIR)/data/index.json: $(DIR)/tokens.npy $(DIR)/LENGTH.flags $(DIR)/PREV.flags $(DIR)/PACK.flags
	if [ -e $(@D) ]; then rm -r $(@D); fi
	pack-tokens --length $(LENGTH) --prev $(PREV) $(PACK) --format mds --out $(@D) $<

$(DIR)/tokens.npy: $(DOCS) $(MODEL)/tokenizer.json $(DIR)/TOKENIZE.flags
	jsonl-tokenize --tokenizer $(MODEL)/tokenizer.json $(TOKENIZE) $(DOCS) > $@
