# MiniCorpus' loss flavour, with make(1): documents drawn from their clusters in proportion to the mean loss that a
# language model has on some documents of each.
#
#   make -f scripts/minicorpus-loss.mk DOCS=docs.jsonl MODEL=pythia-70m COUNT=1000000 chosen.jsonl
#
# The loss is the mean over documents of the mean over their tokens: cut at --max-length tokens, none of them padding.
#
# DOCS      the documents
# MODEL     the folder of a causal model (MiniCorpus: Pythia-70M)
# EMBED     flags of jsonl-embed
# FIT       flags of kmeans-fit (-k 220)
# EACH      documents of a cluster that are scored, on average (100)
# SCORE     flags of lm-score (--max-length 512)
# COUNT     documents to choose (1000)
# SHARE     other flags of cluster-share (for the numbers of MiniCorpus' scripts: --compat minicorpus)
# SEED      of both draws (0)
# DIR       where everything on the way is kept (loss.parts)

DOCS ?= docs.jsonl
MODEL ?= pythia-70m
EMBED ?=
FIT ?= -k 220
EACH ?= 100
SCORE ?= --max-length 512
COUNT ?= 1000
SHARE ?=
SEED ?= 0
DIR ?= loss.parts
export EMBED FIT EACH SCORE COUNT SHARE SEED

.DELETE_ON_ERROR:
.PHONY: always

# $(DIR)/NAME.flags is written anew where the flags are others than before.
$(DIR)/%.flags: always
	@mkdir -p $(DIR)
	@printenv $* | cmp -s - $@ || printenv $* > $@

chosen.jsonl: $(DIR)/plan.tsv $(DIR)/clusters.tsv $(DOCS) $(DIR)/SEED.flags
	clip-sample --seed $(SEED) --plan $< --clusters $(DIR)/clusters.tsv $(DOCS) > $@

$(DIR)/plan.tsv: $(DIR)/clusters.jsonl $(DIR)/losses.tsv $(DIR)/COUNT.flags $(DIR)/SHARE.flags
	cluster-share --measure loss -n $(COUNT) $(SHARE) $(DIR)/clusters.jsonl $(DIR)/losses.tsv > $@

$(DIR)/losses.tsv: $(DIR)/losses.jsonl
	( printf 'cluster\tmean_loss\n'; \
	  sed 's/.*"cluster":\([0-9]*\).*"mean_loss":\([^,}]*\).*/\1\t\2/' $< ) > $@

# The rows of the sample, found again by their keys.
$(DIR)/losses.jsonl: $(DIR)/scores.tsv $(DIR)/clusters.tsv $(DOCS)
	jsonl-key $(DOCS) | paste - $(DIR)/clusters.tsv | \
	  awk -F '\t' -v OFS='\t' 'NR == FNR { wanted[++rows] = $$3; next } { cluster[$$1] = $$2; distance[$$1] = $$3 } \
	    END { for (row = 1; row <= rows; row++) print cluster[wanted[row]], distance[wanted[row]] }' \
	    $(DIR)/scores.tsv - | cluster-stats --value $(DIR)/scores.tsv --value-name loss > $@

$(DIR)/scores.tsv: $(DIR)/sample.jsonl $(DIR)/SCORE.flags
	lm-score --model $(MODEL) $(SCORE) $< > $@

$(DIR)/sample.jsonl: $(DIR)/clusters.jsonl $(DIR)/clusters.tsv $(DOCS) $(DIR)/EACH.flags $(DIR)/SEED.flags
	clip-sample --seed $(SEED) --by equal -n $$(( $(EACH) * $$(wc -l < $<) )) --clusters $(DIR)/clusters.tsv $(DOCS) > $@

$(DIR)/clusters.jsonl: $(DIR)/clusters.tsv
	cluster-stats $< > $@

$(DIR)/clusters.tsv: $(DIR)/centroids.safetensors $(DIR)/vectors.npy
	kmeans-assign --centroids $< $(DIR)/vectors.npy > $@

$(DIR)/centroids.safetensors: $(DIR)/vectors.npy $(DIR)/FIT.flags
	kmeans-fit $(FIT) $< > $@

$(DIR)/vectors.npy: $(DOCS) $(DIR)/EMBED.flags
	jsonl-embed $(EMBED) $(DOCS) > $@
