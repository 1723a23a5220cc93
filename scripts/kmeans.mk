# k-means over parts, with make(1): each iteration adds up every part by itself, and then the sums.
#
#   make -f scripts/kmeans.mk -j8 PARTS="a.npy b.npy c.npy" FIT="-k 1000 --seed 1" model.safetensors
#
# The model is, to the byte, that of
#
#   kmeans-fit -k 1000 --seed 1 --iters 20 a.npy b.npy c.npy
#
# and what a killed job had finished stays finished. On a cluster with a shared disk:
#
#   salloc -n8 make -f scripts/kmeans.mk -j8 SHELL=srun .SHELLFLAGS='-n1 -N1 bash -c' ...
#
# PARTS   files of vectors; with SHARDS one file, of which that many shards are the parts
# ITERS   iterations at the most (20); those after the end of the fit cost a pass each and change nothing
# FIT     flags of the fit: -k, --metric, --init, --seed, or --centroids
# RULE    flags of every iteration: --tol, --patience, --empty
# DIR     where models and sums on the way are kept (kmeans.parts); remove it for another fit

PARTS ?=
SHARDS ?=
ITERS ?= 20
FIT ?=
RULE ?=
DIR ?= kmeans.parts

.DELETE_ON_ERROR:

# $(call below,N): 0 1 ... N-1; $(call next,N): N+1; a step assigns all rows, and the one after the last iteration adds the sizes.
below = $(if $(filter $1,$(words $2)),,$(words $2) $(call below,$1,$2 x))
next = $(words x $(call below,$1))
steps := $(call below,$(call next,$(ITERS)))
parts := $(call below,$(or $(SHARDS),$(words $(PARTS))))
input = $(if $(SHARDS),--shard $1/$(SHARDS) $(PARTS),$(word $(call next,$1),$(PARTS)))

model.safetensors: $(DIR)/$(words $(steps)).model
	cp $< $@

$(DIR)/0.model: $(PARTS)
	mkdir -p $(DIR)
	kmeans-fit $(FIT) $(RULE) --iters 0 $(PARTS) > $@

define step
$(DIR)/$(call next,$1).model: $(parts:%=$(DIR)/$1.%.sums)
	kmeans-step --centroids $(DIR)/$1.model $(RULE) --iters $(ITERS) $$^ > $$@
endef

define sums
$(DIR)/$1.$2.sums: $(DIR)/$1.model
	kmeans-sum --centroids $$< $(call input,$2) > $$@
endef

$(foreach n,$(steps),$(eval $(call step,$n)))
$(foreach n,$(steps),$(foreach part,$(parts),$(eval $(call sums,$n,$(part)))))
