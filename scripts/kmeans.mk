# k-means over parts, with make(1): each iteration adds up every part by itself, and then the sums.
#
#   make -f kmeans.mk -j8 PARTS="a.npy b.npy c.npy" FIT="-k 1000 --seed 1" model.safetensors
#
# The model is, to the byte, that of
#
#   kmeans-fit -k 1000 --seed 1 --iters 20 a.npy b.npy c.npy
#
# FIT     flags of the fit: -k, --metric, --init, --seed, or --centroids
# RULE    flags of every iteration: --tol, --patience, --empty
# ITERS   iterations at the most (20)
# DIR     (kmeans.parts)
#
#   model.safetensors
#
PARTS ?=
FIT ?=
RULE ?=
ITERS ?= 20
DIR ?= kmeans.parts

model.safetensors:
remembered := FIT RULE ITERS
include $(dir $(lastword $(MAKEFILE_LIST)))parts.mk
vectors := $(PARTS)
all-vectors = $(all-files)
$(foreach number,$(numbers),$(eval vectors.$(number) := $(file.$(number)))$(eval rows.$(number) := $(part.$(number))))
include $(here)fit.mk
$(fit)/0.model: $(listed)

stages = $(fit-stages) ends
ends = model.safetensors

model.safetensors: $(fitted)
	cp $< $@.new && mv $@.new $@
