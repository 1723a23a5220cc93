# Hybrid importance resampling (HIR) with make(1): documents that are like a target in n-grams and in vectors.
#
#   make -f hir.mk -j8 PARTS="a.jsonl b.jsonl" TARGET=target.jsonl ALPHA=0.5 COUNT=10000 chosen.jsonl
#
# The choice is, to the byte, that of one run over all parts. Another ALPHA or COUNT mixes or chooses anew, and
# nothing else.
#
# TARGET       documents that the choice should be like (target.jsonl)
# ALPHA        the share of the n-grams in the weight; the rest is the vectors' (0.5)
# MIX          other flags of weight-mix (--standardise; nothing for HIR's own weights)
# COUNT        how many documents to choose (1000); empty where CHOICE says how many (--fraction, --budget)
# MIN_LENGTH   documents of fewer words are not chosen (100)
# SEED         of the choice (0)
# CHOICE       other flags of topk-resample
# HASH         flags of ngram-hash
# MODEL        of the vectors: a folder, or hash (hash:384)
# EMBED        other flags of jsonl-embed
# RAW_FIT      flags of gmm-fit for the corpus (-k 1000)
# TARGET_FIT   flags of gmm-fit for the target (-k 50)
# RULE         flags of every iteration over the corpus: --tol, --reg-covar
# ITERS        where it is a number, the mixture of the corpus is fitted over the parts, a job for each part and
#              iteration, and ends after so many iterations at the most; without it, one job fits all vectors
# DIR          (hir.parts)
#
#   chosen.jsonl   the chosen documents, in their order
#
PARTS ?= raw.jsonl
TARGET ?= target.jsonl
ALPHA ?= 0.5
MIX ?= --standardise
COUNT ?= 1000
MIN_LENGTH ?= 100
SEED ?= 0
CHOICE ?=
HASH ?=
MODEL ?= hash:384
EMBED ?=
RAW_FIT ?= -k 1000
TARGET_FIT ?= -k 50
RULE ?=
ITERS ?=
DIR ?= hir.parts

chosen.jsonl:
FIT = $(RAW_FIT)
remembered := TARGET ALPHA MIX COUNT MIN_LENGTH SEED CHOICE HASH MODEL EMBED FIT TARGET_FIT RULE ITERS
include $(dir $(lastword $(MAKEFILE_LIST)))parts.mk

vectors = $(call each,vectors.npy)
counts = $(call each,counts) $(vectors) $(DIR)/target.counts $(DIR)/target.vectors.npy
models = $(DIR)/raw.counts $(DIR)/target.gmm
halves = $(call each,ngram.tsv) $(call each,gmm.tsv)
mixture = $(DIR)/raw.gmm
spreads = $(if $(findstring --standardise,$(MIX)),$(DIR)/spreads)
weights = $(call each,weights.tsv)
cut = $(DIR)/cut $(DIR)/first-rows
choices = $(call each,chosen.jsonl)
ends = chosen.jsonl
stages = counts $(levels:%=counts.%) models $(fit-stages) mixture halves $(if $(spreads),spreads) weights cut choices \
  ends

chosen.jsonl: $(call every,chosen.jsonl)
	$(call all-to,chosen.jsonl) cat $(to)

$(choices): $(DIR)/%.chosen.jsonl: $(documents) $(DIR)/%.weights.tsv $(cut)
	topk-resample --cut $(DIR)/cut $(first-row) --weights $(DIR)/$*.weights.tsv $(part) $(to)

$(DIR)/cut: $(call every,weights.tsv) $(call flags,COUNT MIN_LENGTH SEED CHOICE)
	$(call all-to,weights.tsv) cat | topk-resample $(COUNT:%=-n %) --min-length $(MIN_LENGTH) --seed $(SEED) $(CHOICE) \
	  --weights - --write-cut $@.new $(if-other)

$(DIR)/first-rows: $(call every,weights.tsv)
	{ $(call first-rows,weights.tsv); } $(to-if-other)

$(weights): $(DIR)/%.weights.tsv: $(DIR)/%.ngram.tsv $(DIR)/%.gmm.tsv $(spreads) $(call flags,ALPHA MIX)
	weight-mix --alpha $(ALPHA) $(filter-out --standardise,$(MIX)) $(if $(spreads),--spreads "$$(< $(DIR)/spreads)") \
	  $(DIR)/$*.ngram.tsv $(DIR)/$*.gmm.tsv $(to)

# The spread of each of the two columns, over all parts.
$(DIR)/spreads: $(call every,ngram.tsv) $(call each,gmm.tsv)
	$(call all-to,ngram.tsv) cat > $@.ngram.tsv && $(call all-to,gmm.tsv) cat > $@.gmm.tsv && \
	  weight-mix --alpha 0.5 --standardise --stats $@.stats $@.ngram.tsv $@.gmm.tsv > /dev/null && \
	  sed 's/.*"spreads":\[\([^]]*\)\].*/\1/' $@.stats $(to-if-other)
	rm -f $@.ngram.tsv $@.gmm.tsv

$(DIR)/raw.counts: $(call tops,$(DIR)/,.counts)
	ngram-hash --add $(call all-tops,$(DIR)/,.counts) $(to-if-other)
$(call tree,$(DIR)/,.counts,ngram-hash --add,counts)

$(DIR)/target.counts: $(TARGET) $(call flags,TARGET HASH)
	ngram-hash $(HASH) $(TARGET) $(to)

$(DIR)/target.vectors.npy: $(TARGET) $(call flags,TARGET MODEL EMBED)
	jsonl-embed --model $(MODEL) $(EMBED) $(TARGET) $(to)

$(DIR)/target.gmm: $(DIR)/target.vectors.npy $(call flags,TARGET_FIT)
	gmm-fit $(TARGET_FIT) $< $(to)

$(call each,counts): $(DIR)/%.counts: $(documents) $(call flags,HASH)
	ngram-hash $(HASH) $(part) $(to)

$(call each,ngram.tsv): $(DIR)/%.ngram.tsv: $(documents) $(DIR)/raw.counts $(DIR)/target.counts
	dsir-weight --raw $(DIR)/raw.counts --target $(DIR)/target.counts $(part) $(to)

$(vectors): $(DIR)/%.vectors.npy: $(documents) $(call flags,MODEL EMBED)
	jsonl-embed --model $(MODEL) $(EMBED) $(part) $(to)

$(call each,gmm.tsv): $(DIR)/%.gmm.tsv: $(DIR)/%.vectors.npy $(DIR)/target.gmm $(mixture)
	gmm-score --mixture $(DIR)/target.gmm --against $(mixture) $< $(to)

ifeq ($(ITERS),)
$(mixture): $(call every,vectors.npy) $(call flags,FIT RULE ITERS)
	gmm-fit $(RAW_FIT) $(RULE) $(call all,vectors.npy) $(to)
else
family := gmm
all-vectors = $(call all,vectors.npy)
$(foreach number,$(numbers),$(eval vectors.$(number) := $(DIR)/$(number).vectors.npy)\
$(eval rows.$(number) := $(vectors.$(number))))
include $(here)fit.mk
$(mixture): $(fitted)
	cp $< $@.new && mv $@.new $@
endif
