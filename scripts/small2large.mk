# The examples of an instruction dataset that are still being learned (Small2Large), with make(1): embedded, clustered,
# ranked by their learning percentage, and of each cluster those chosen that are learned last.
#
#   make -f scripts/small2large.mk DATA=alpaca.json PERPLEXITIES=perplexities.tsv SHARE=0.1 chosen.jsonl random.jsonl
#
# A run with another SHARE, K or MODEL redoes what depends on it, and nothing else.
#
# DATA           the examples: a JSON array, as Alpaca's, or JSON Lines
# PERPLEXITIES   of each example before training and after each epoch, for lp-rank: columns, JSON Lines or
#                pickles; scripts/perplexities.py makes them
# EMBED          flags of jsonl-embed: --template or --field, --model (Alpaca's fields, without a model)
# FIT            flags of kmeans-fit (-k 100)
# SHARE          the share of each cluster (0.1)
# CHOICE         other flags of the choice (--bottom --keys documents; for the numbers of Small2Large's scripts:
#                --bottom --compat small2large)
# SEED           of the baseline random.jsonl, as many examples of each cluster at random (0)
# DIR            where everything on the way is kept (small2large.parts)

DATA ?= alpaca.json
PERPLEXITIES ?= perplexities.tsv
EMBED ?= --template 'Instruction: {instruction} Input: {input} Response: {output}'
FIT ?= -k 100
SHARE ?= 0.1
CHOICE ?= --bottom --keys documents
SEED ?= 0
DIR ?= small2large.parts
export EMBED FIT SHARE CHOICE SEED

.DELETE_ON_ERROR:
.PHONY: always

# $(DIR)/NAME.flags is written anew where the flags are others than before.
$(DIR)/%.flags: always
	@mkdir -p $(DIR)
	@printenv $* | cmp -s - $@ || printenv $* > $@

chosen.jsonl: $(DIR)/examples.jsonl $(DIR)/clusters.tsv $(DIR)/lp.tsv $(DIR)/SHARE.flags $(DIR)/CHOICE.flags
	topk-resample $(CHOICE) --group $(DIR)/clusters.tsv --per-group-fraction $(SHARE) --weights $(DIR)/lp.tsv $< > $@

random.jsonl: $(DIR)/examples.jsonl $(DIR)/clusters.tsv $(DIR)/SHARE.flags $(DIR)/SEED.flags
	sed 's/.*/0/' $(DIR)/clusters.tsv | topk-resample --seed $(SEED) --keys documents \
	  --group $(DIR)/clusters.tsv --per-group-fraction $(SHARE) --weights - $< > $@

$(DIR)/lp.tsv: $(PERPLEXITIES)
	mkdir -p $(DIR)
	lp-rank $(PERPLEXITIES) > $@

# What begins with a bracket is an array.
$(DIR)/examples.jsonl: $(DATA)
	mkdir -p $(DIR)
	if [ "$$(tr -d ' \t\r\n' < $< | head -c 1)" = '[' ]; then jsonl-from-json $<; else cat $<; fi > $@

$(DIR)/vectors.npy: $(DIR)/examples.jsonl $(DIR)/EMBED.flags
	jsonl-embed $(EMBED) $< > $@

$(DIR)/centroids.safetensors: $(DIR)/vectors.npy $(DIR)/FIT.flags
	kmeans-fit $(FIT) $< > $@

$(DIR)/clusters.tsv: $(DIR)/centroids.safetensors $(DIR)/vectors.npy
	kmeans-assign --centroids $< $(DIR)/vectors.npy > $@
