# Vectors and clusters of parts, for the makefiles beside this one that draw from clusters:
#
# MODEL     of the vectors: a folder, or hash (hash:384)
# EMBED     other flags of jsonl-embed
# ID_FIELD  the field that holds the identity of a document; without it the whole line is
# K         clusters
# FIT       other flags of kmeans-fit
# RULE      flags of every iteration: --tol, --patience, --empty
# ITERS     where it is a number, k-means goes over the parts, a job for each part and iteration, and ends after so many
#           iterations at the most; without it, one job fits all vectors
#
#   DIR/clusters.jsonl   size, distances and examples of each cluster
#   report.html          the same as a page, to look and to mark what to exclude
#
MODEL ?= hash:384
EMBED ?=
ID_FIELD ?=
FIT ?=
RULE ?=
ITERS ?=
remembered += MODEL EMBED ID_FIELD K FIT RULE ITERS
include $(dir $(lastword $(MAKEFILE_LIST)))parts.mk

vectors = $(call each,vectors.npy)
keys = $(call each,keys.tsv)
clusters = $(call each,clusters.tsv)
centroids = $(DIR)/centroids.safetensors
identity = $(ID_FIELD:%=--id-field %)

# Columns of all rows, beside each other: cluster, distance, key.
columns = for part in {0..$(lastword $(numbers))}; do \
  paste $(DIR)/$$part.clusters.tsv $(DIR)/$$part.keys.tsv || exit 1; done

# The cut of `clip-sample $(draw)`, which `draw-needs` is needed for.
$(DIR)/cut: $(call every,clusters.tsv) $(keys) $(draw-needs) $(call flags,SEED)
	{ $(columns); } | clip-sample $(draw) --seed $(SEED) --clusters - --key-field 3 --write-cut $@.new $(if-other)

$(call each,drawn.jsonl): $(DIR)/%.drawn.jsonl: $(documents) $(DIR)/%.clusters.tsv $(DIR)/cut $(DIR)/first-rows
	clip-sample --cut $(DIR)/cut $(identity) $(first-row) --clusters $(DIR)/$*.clusters.tsv $(part) $(to)

report.html: $(DIR)/clusters.jsonl $(EXCLUDE)
	cluster-report $(EXCLUDE:%=--exclude %) $< $(to)

$(DIR)/clusters.jsonl: $(call tops,$(DIR)/,.stats.jsonl)
	cluster-stats --add $(call all-tops,$(DIR)/,.stats.jsonl) $(to)
$(call tree,$(DIR)/,.stats.jsonl,cluster-stats --add,stats)

$(call each,stats.jsonl): $(DIR)/%.stats.jsonl: $(documents) $(DIR)/%.clusters.tsv
	cluster-stats $(shard.$*) --documents $(file.$*) $(DIR)/$*.clusters.tsv $(to)

$(DIR)/first-rows: $(call every,clusters.tsv)
	{ $(call first-rows,clusters.tsv); } $(to-if-other)

$(clusters): $(DIR)/%.clusters.tsv: $(centroids) $(DIR)/%.vectors.npy
	kmeans-assign --centroids $(centroids) $(DIR)/$*.vectors.npy $(to)

$(keys): $(DIR)/%.keys.tsv: $(documents) $(call flags,ID_FIELD)
	jsonl-key $(identity) $(part) $(to)

$(vectors): $(DIR)/%.vectors.npy: $(documents) $(call flags,MODEL EMBED)
	jsonl-embed --model $(MODEL) $(EMBED) $(part) $(to)

fitting = $(fit-stages) centroids
ifeq ($(ITERS),)
$(centroids): $(call every,vectors.npy) $(call flags,K FIT RULE ITERS)
	kmeans-fit -k $(K) $(FIT) $(RULE) $(call all,vectors.npy) $(to)
else
all-vectors = $(call all,vectors.npy)
$(foreach number,$(numbers),$(eval vectors.$(number) := $(DIR)/$(number).vectors.npy)\
$(eval rows.$(number) := $(vectors.$(number))))
include $(here)fit.mk
$(centroids): $(fitted)
	cp $< $@.new && mv $@.new $@
endif
