# k-means, or with `family := gmm` a mixture of Gaussians, over the vectors of parts, for the makefiles beside this
# one: a job for each part and iteration.
#
# K, FIT  how many clusters, and other flags of the fit: --metric, --init, --seed; or --centroids, and no K
# RULE    flags of every iteration: --tol, --patience, --empty
# ITERS   iterations at the most
#
# $(fitted) is the model, to the byte that of `kmeans-fit -k $(K) $(FIT) $(RULE) --iters $(ITERS)` over the vectors of
# all parts. An iteration over the centroids of the one before it, which is where the fit has ended, costs no pass.

# A step assigns all rows, and the one after the last iteration adds the sizes.
family ?= kmeans
as-model := $(if $(filter gmm,$(family)),--mixture,--centroids)
fit := $(DIR)/fit
steps := $(call below,$(ITERS)) $(ITERS)
$(foreach step,$(steps),$(eval last := $(words x $(call below,$(step))))$(eval before.$(last) := $(step)))
fitted := $(fit)/$(last).model
fit-models := $(filter-out $(fit)/0.model,$(steps:%=$(fit)/%.model) $(fitted))
$(foreach step,$(steps),$(eval model.$(step) := $(fit)/$(step).model)\
$(eval sums.$(step) := $(numbers:%=$(fit)/$(step)/%.sums)))
sums := $(foreach step,$(steps),$(sums.$(step)))
$(foreach step,$(steps),$(call tree,$(fit)/$(step)/,.sums,$(family)-sum --add,sums.$(step)))
fit-stages := $(foreach step,$(steps),model.$(step) sums.$(step) $(levels:%=sums.$(step).%))

$(fit)/0.model: $(vectors) $(call flags,parts $(filter K FIT RULE,$(remembered)))
	mkdir -p $(fit) && $(family)-fit $(K:%=-k %) $(FIT) $(RULE) --iters 0 $(all-vectors) $(to)

$(fit-models): $(fit)/%.model: $$(call tops,$(fit)/$$(before.$$*)/,.sums) $(call flags,ITERS)
	$(family)-step $(as-model) $(fit)/$(before.$*).model $(RULE) --iters $(ITERS) \
	  $(call all-tops,$(fit)/$(before.$*)/,.sums) $(to)

fit-before = $(fit)/$(before.$(*D))
as-before = if cmp -s $(fit-before).model $<; then cat $(fit-before)/$(*F).sums; else
$(sums): $(fit)/%.sums: $(fit)/$$(*D).model $$(vectors.$$(*F))
	mkdir -p $(@D) && { $(if $(before.$(*D)),$(as-before)) \
	  $(family)-sum $(as-model) $< $(rows.$(*F)); $(if $(before.$(*D)),fi;) } $(to)
