# MiniCorpus' loss flavour, with make(1): documents drawn from their clusters in proportion to the mean loss that a
# language model has on some documents of each.
#
#   make -f minicorpus-loss.mk -j8 PARTS="a.jsonl b.jsonl" SCORER=pythia-70m COUNT=1000000 chosen.jsonl
#
# The loss is the mean over documents of the mean over their tokens: cut at --max-length tokens, none of them padding.
#
# SCORER    the folder of a causal model (pythia-70m)
# SCORE     other flags of lm-score (--max-length 512)
# K         clusters (220)
# EACH      documents of a cluster that are scored, on average (100)
# COUNT     documents to choose (1000)
# SHARE     other flags of cluster-share; for the numbers of MiniCorpus' scripts --compat minicorpus
# SEED      of both draws (0)
# DIR       (loss.parts)
#
#   chosen.jsonl   what was drawn, in the order of the documents
#
PARTS ?= docs.jsonl
SCORER ?= pythia-70m
SCORE ?= --max-length 512
K ?= 220
EACH ?= 100
COUNT ?= 1000
SHARE ?=
SEED ?= 0
DIR ?= loss.parts

chosen.jsonl:
remembered := SCORER SCORE EACH COUNT SHARE SEED
draw = --plan $(DIR)/plan.tsv
draw-needs = $(DIR)/plan.tsv
include $(dir $(lastword $(MAKEFILE_LIST)))clusters.mk

draws = $(keys) $(clusters)
stats = $(call each,stats.jsonl)
table = $(DIR)/clusters.jsonl
sample = $(DIR)/sample.jsonl
scores = $(DIR)/scores.tsv
losses = $(DIR)/losses.tsv
plan-of-draws = $(DIR)/plan.tsv
cut = $(DIR)/cut $(DIR)/first-rows
drawn = $(call each,drawn.jsonl)
ends = chosen.jsonl
stages = vectors $(fitting) draws stats $(levels:%=stats.%) table sample scores losses plan-of-draws cut drawn ends

chosen.jsonl: $(call every,drawn.jsonl)
	$(call all-to,drawn.jsonl) cat $(to)

$(DIR)/plan.tsv: $(table) $(losses) $(call flags,COUNT SHARE)
	cluster-share --measure loss -n $(COUNT) $(SHARE) $(table) $(losses) $(to-if-other)

# The rows of the sample, found again by their keys.
$(losses): $(scores) $(clusters) $(keys)
	{ $(columns); } | \
	  awk -F '\t' -v OFS='\t' 'NR == FNR { wanted[++rows] = $$3; next } { cluster[$$3] = $$1; distance[$$3] = $$2 } \
	    END { for (row = 1; row <= rows; row++) print cluster[wanted[row]], distance[wanted[row]] }' $(scores) - | \
	  cluster-stats --value $(scores) --value-name loss > $(DIR)/losses.jsonl
	( printf 'cluster\tmean_loss\n'; \
	  sed 's/.*"cluster":\([0-9]*\).*"mean_loss":\([^,}]*\).*/\1\t\2/' $(DIR)/losses.jsonl ) $(to)

$(scores): $(sample) $(call flags,SCORER SCORE)
	lm-score --model $(SCORER) $(SCORE) $< $(to)

$(sample): $(table) $(clusters) $(keys) $(call flags,EACH SEED) $(listed)
	{ $(columns); } | clip-sample --seed $(SEED) --by equal -n $$(( $(EACH) * $$(wc -l < $<) )) $(identity) \
	  --clusters - --key-field 3 $(all-files) $(to)
