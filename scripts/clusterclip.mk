# Balanced sampling from clusters (ClusterClip) with make(1): documents drawn evenly from the clusters of a corpus,
# each CLIP times at the most, in random order.
#
#   make -f clusterclip.mk -j8 PARTS="a.jsonl b.jsonl" K=2000 CLIP=5 COUNT=1000000 sample.jsonl
#
# The sample is, to the byte, that of one run over all parts. Another COUNT, CLIP or EXCLUDE draws anew, and nothing
# else.
#
# K         clusters (100)
# COUNT     how many documents to draw, repeats counted (1000); empty where CHOICE says how many (--fraction)
# CLIP      how often a document is drawn at the most (5)
# EXCLUDE   a file of clusters to leave out, one a line
# SEED      of the draws and of the order (0)
# CHOICE    other flags of clip-sample: --by, --shares
# DIR       (clusterclip.parts)
#
#   sample.jsonl         what was drawn
#
PARTS ?= raw.jsonl
K ?= 100
COUNT ?= 1000
CLIP ?= 5
EXCLUDE ?=
SEED ?= 0
CHOICE ?=
DIR ?= clusterclip.parts

sample.jsonl:
remembered := COUNT CLIP EXCLUDE SEED CHOICE
draw = $(COUNT:%=-n %) --clip $(CLIP) $(EXCLUDE:%=--exclude %) $(CHOICE)
draw-needs = $(EXCLUDE) $(call flags,COUNT CLIP EXCLUDE CHOICE)
include $(dir $(lastword $(MAKEFILE_LIST)))clusters.mk

drawn = $(call each,drawn.jsonl)
cut = $(DIR)/cut $(DIR)/first-rows
draws = $(keys) $(clusters)
stages = vectors $(fitting) draws cut drawn ends
ends = sample.jsonl

sample.jsonl: $(call every,drawn.jsonl) $(call flags,SEED ID_FIELD)
	$(call all-to,drawn.jsonl) cat | jsonl-shuffle $(identity) --seed $(SEED) $(to)
