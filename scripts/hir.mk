# Hybrid importance resampling (HIR) with make(1): documents that are like a target in n-grams and in vectors.
#
#   make -f scripts/hir.mk -j8 PARTS="a.jsonl b.jsonl" TARGET=target.jsonl ALPHA=0.5 \
#     CHOICE="-n 10000 --min-length 100" chosen.jsonl
#
# A run with another ALPHA or CHOICE mixes or chooses anew, and nothing else. Counting, weighing, embedding and scoring
# are a job for each part. On a cluster with a shared disk:
#
#   salloc -n8 make -f scripts/hir.mk -j8 SHELL=srun .SHELLFLAGS='-n1 -N1 bash -c' ...
#
# PARTS    files of documents to choose from
# TARGET   documents that the choice should be like
# ALPHA    the share of the n-grams in the weight; the rest is the vectors' (0.5)
# MIX      other flags of weight-mix (--standardise; nothing for HIR's own weights)
# CHOICE   flags of the choice (-n 1000 --min-length 100)
# HASH     flags of ngram-hash
# EMBED    flags of jsonl-embed
# RAW_FIT, TARGET_FIT   flags of gmm-fit (HIR's numbers of components: -k 1000 and -k 50)
# DIR      where everything on the way is kept (hir.parts)

PARTS ?= raw.jsonl
TARGET ?= target.jsonl
ALPHA ?= 0.5
MIX ?= --standardise
CHOICE ?= -n 1000 --min-length 100
HASH ?=
EMBED ?=
RAW_FIT ?= -k 1000
TARGET_FIT ?= -k 50
DIR ?= hir.parts
export ALPHA MIX CHOICE HASH EMBED RAW_FIT TARGET_FIT

.DELETE_ON_ERROR:
.PHONY: always

# $(DIR)/NAME.flags is written anew where the flags are others than before.
$(DIR)/%.flags: always
	@mkdir -p $(DIR)
	@printenv $* | cmp -s - $@ || printenv $* > $@

# $(call count,N): 1 2 ... N. Parts are numbered from 1.
count = $(if $(filter $1,$(words $2)),,$(words $2 x) $(call count,$1,$2 x))
numbers := $(call count,$(words $(PARTS)))
each = $(numbers:%=$(DIR)/%.$1)

chosen.jsonl: $(DIR)/weights.tsv $(PARTS) $(DIR)/CHOICE.flags
	topk-resample $(CHOICE) --weights $< $(PARTS) > $@

$(DIR)/weights.tsv: $(DIR)/ngram.tsv $(DIR)/gmm.tsv $(DIR)/ALPHA.flags $(DIR)/MIX.flags
	weight-mix --alpha $(ALPHA) $(MIX) $(DIR)/ngram.tsv $(DIR)/gmm.tsv > $@

$(DIR)/ngram.tsv: $(call each,ngram.tsv)
	cat $^ > $@

$(DIR)/gmm.tsv: $(call each,gmm.tsv)
	cat $^ > $@

$(DIR)/raw.counts: $(call each,counts)
	ngram-hash --add $^ > $@

$(DIR)/target.counts: $(TARGET) $(DIR)/HASH.flags
	ngram-hash $(HASH) $< > $@

$(DIR)/target.npy: $(TARGET) $(DIR)/EMBED.flags
	jsonl-embed $(EMBED) $< > $@

$(DIR)/raw.gmm: $(call each,npy) $(DIR)/RAW_FIT.flags
	gmm-fit $(RAW_FIT) $(call each,npy) > $@

$(DIR)/target.gmm: $(DIR)/target.npy $(DIR)/TARGET_FIT.flags
	gmm-fit $(TARGET_FIT) $< > $@

define part
$(DIR)/$1.counts: $(word $1,$(PARTS)) $(DIR)/HASH.flags
	ngram-hash $$(HASH) $$< > $$@

$(DIR)/$1.ngram.tsv: $(word $1,$(PARTS)) $(DIR)/raw.counts $(DIR)/target.counts
	dsir-weight --raw $(DIR)/raw.counts --target $(DIR)/target.counts $$< > $$@

$(DIR)/$1.npy: $(word $1,$(PARTS)) $(DIR)/EMBED.flags
	jsonl-embed $$(EMBED) $$< > $$@

$(DIR)/$1.gmm.tsv: $(DIR)/$1.npy $(DIR)/target.gmm $(DIR)/raw.gmm
	gmm-score --mixture $(DIR)/target.gmm --against $(DIR)/raw.gmm $$< > $$@
endef

$(foreach number,$(numbers),$(eval $(call part,$(number))))
