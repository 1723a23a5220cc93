# MiniPile with make(1): documents embedded, clustered, the clusters looked at, bad ones left out, and from the others
# as many documents each, divided into sets that share none.
#
#   make -f minipile.mk -j8 PARTS="a.jsonl b.jsonl" MODEL=e5-large EMBED="--prefix 'query: '" report.html
#   make -f minipile.mk -j8 PARTS="a.jsonl b.jsonl" MODEL=e5-large EMBED="--prefix 'query: '" EXCLUDE=bad.txt minipile
#
# What is drawn is, to the byte, that of one run over all parts. Another EXCLUDE or SPLIT draws anew, and nothing else.
#
# K         clusters (220)
# FIT       other flags of kmeans-fit (--batch 16384; nothing where ITERS is a number)
# EXCLUDE   a file of clusters to leave out, one a line
# SPLIT     the sets and how many documents each has (train=1000000,validation=500,test=10000)
# SEED      of the draws (0)
# CHOICE    other flags of clip-sample: --by, --clip, --shares
# DIR       (minipile.parts)
# OUT       the folder of the sets (minipile)
#
#   minipile             OUT/train.jsonl and the like
#
PARTS ?= raw.jsonl
K ?= 220
FIT ?= $(if $(ITERS),,--batch 16384)
EXCLUDE ?=
SPLIT ?= train=1000000,validation=500,test=10000
SEED ?= 0
CHOICE ?=
DIR ?= minipile.parts
OUT ?= minipile

.PHONY: minipile
minipile:
remembered := EXCLUDE SPLIT SEED CHOICE
draw = --split $(SPLIT) $(EXCLUDE:%=--exclude %) $(CHOICE)
draw-needs = $(EXCLUDE) $(call flags,EXCLUDE SPLIT CHOICE)
include $(dir $(lastword $(MAKEFILE_LIST)))clusters.mk

comma := ,
sets := $(foreach set,$(subst $(comma), ,$(SPLIT)),$(firstword $(subst =, ,$(set))))
drawn = $(call each,drawn)
cut = $(DIR)/cut $(DIR)/first-rows
draws = $(keys) $(clusters)
ends = $(sets:%=$(OUT)/%.jsonl)
stages = vectors $(fitting) draws cut drawn ends
minipile: $(ends)

$(ends): $(OUT)/%.jsonl: $(call every,drawn)
	mkdir -p $(OUT) && $(call all-to,drawn.sets/$*.jsonl) cat $(to)

# The sets of a part are in a folder; the file beside it says that they are whole.
$(drawn): $(DIR)/%.drawn: $(documents) $(DIR)/%.clusters.tsv $(cut)
	rm -rf $@.sets && \
	  clip-sample --cut $(DIR)/cut $(identity) $(first-row) --clusters $(DIR)/$*.clusters.tsv --out $@.sets $(part) && \
	  touch $@
