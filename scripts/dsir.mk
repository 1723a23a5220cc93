# Importance resampling (DSIR) with make(1): documents that are like a target in their n-grams.
#
#   make -f dsir.mk -j8 PARTS="a.jsonl b.jsonl" TARGET=target.jsonl COUNT=10000 chosen.jsonl kl.tsv
#
# The choice is, to the byte, that of one run over all parts. Another COUNT or SEED chooses anew, and nothing else.
#
# TARGET       documents that the choice should be like; several files are several targets (target.jsonl)
# COUNT        how many documents to choose (1000); empty where CHOICE says how many (--fraction, --budget)
# MIN_LENGTH   documents of fewer words are not chosen (100)
# SEED         of the choice (0)
# NGRAMS       n-grams of 1 to so many words (2)
# BUCKETS      that they are hashed into (10000)
# FIELD        the field that holds the text (text)
# ID_FIELD     the field that holds the identity of a document; without it the whole line is
# HASH         other flags of ngram-hash
# WEIGHT       other flags of dsir-weight
# CHOICE       other flags of topk-resample
# DIR          (dsir.parts)
#
#   chosen.jsonl   the chosen documents, in their order
#   kl.tsv         how far from the target the n-grams of the corpus are, and those of the choice
#
PARTS ?= raw.jsonl
TARGET ?= target.jsonl
COUNT ?= 1000
MIN_LENGTH ?= 100
SEED ?= 0
NGRAMS ?= 2
BUCKETS ?= 10000
FIELD ?= text
ID_FIELD ?=
HASH ?=
WEIGHT ?=
CHOICE ?=
DIR ?= dsir.parts

chosen.jsonl:
remembered := TARGET COUNT MIN_LENGTH SEED NGRAMS BUCKETS FIELD ID_FIELD HASH WEIGHT CHOICE
include $(dir $(lastword $(MAKEFILE_LIST)))parts.mk

# A target has a number, too.
targets := $(call below,$(words $(TARGET)))
target-counts := $(targets:%=$(DIR)/target.%.counts)
$(foreach number,$(targets),$(eval target.$(number) := $(word $(words x $(call below,$(number))),$(TARGET))))
as-targets = $(target-counts:%=--target %)
counted = --ngrams $(NGRAMS) --buckets $(BUCKETS) --field $(FIELD) $(HASH)
identity = $(ID_FIELD:%=--id-field %)

counts = $(call each,counts) $(target-counts)
raw = $(DIR)/raw.counts
weights = $(call each,weights.tsv)
cut = $(DIR)/cut $(DIR)/first-rows
choices = $(call each,chosen.jsonl)
stages = counts $(levels:%=counts.%) raw weights cut choices ends
ends = chosen.jsonl

chosen.jsonl: $(call every,chosen.jsonl)
	$(call all-to,chosen.jsonl) cat $(to)

kl.tsv: chosen.jsonl $(raw) $(target-counts) $(call flags,NGRAMS BUCKETS FIELD HASH)
	ngram-hash $(counted) chosen.jsonl > $(DIR)/chosen.counts && \
	  ngram-kl $(target-counts) $(raw) $(DIR)/chosen.counts $(to)

$(choices): $(DIR)/%.chosen.jsonl: $(documents) $(DIR)/%.weights.tsv $(cut)
	topk-resample --cut $(DIR)/cut $(identity) $(first-row) --weights $(DIR)/$*.weights.tsv $(part) $(to)

$(DIR)/cut: $(call every,weights.tsv) $(target-counts) $(call flags,COUNT MIN_LENGTH SEED CHOICE)
	$(call all-to,weights.tsv) cat > $@.weights.tsv
	topk-resample $(COUNT:%=-n %) --min-length $(MIN_LENGTH) --seed $(SEED) $(CHOICE) \
	  $(if $(word 2,$(TARGET)),$(if $(findstring --proportions,$(CHOICE)),,$(as-targets))) \
	  --weights $@.weights.tsv --write-cut $@.new $(if-other)
	rm $@.weights.tsv

$(DIR)/first-rows: $(call every,weights.tsv)
	{ $(call first-rows,weights.tsv); } $(to-if-other)

$(weights): $(DIR)/%.weights.tsv: $(documents) $(raw) $(target-counts) $(call flags,FIELD ID_FIELD WEIGHT)
	dsir-weight --field $(FIELD) $(identity) $(WEIGHT) --raw $(raw) $(as-targets) $(part) $(to)

$(raw): $(call tops,$(DIR)/,.counts)
	ngram-hash --add $(call all-tops,$(DIR)/,.counts) $(to-if-other)
$(call tree,$(DIR)/,.counts,ngram-hash --add,counts)

$(target-counts): $(DIR)/target.%.counts: $$(target.$$*) $(call flags,TARGET NGRAMS BUCKETS FIELD HASH)
	ngram-hash $(counted) $(target.$*) $(to)

$(call each,counts): $(DIR)/%.counts: $(documents) $(call flags,NGRAMS BUCKETS FIELD HASH)
	ngram-hash $(counted) $(part) $(to)
