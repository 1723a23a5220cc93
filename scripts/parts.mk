# What the makefiles beside this one have in common:
#
# PARTS     files of documents, or shards of them: each step over documents is a job for each part
# SHARDS    how many shards each of these files is cut into (1; more take plain files)
# DIR       where everything on the way is kept, beside what was made of it
# SRUN      with SHELL=srun, the flags of a step (-Q -N1 -n1 --exact); --mem-per-cpu and -c go here
# FANIN     files that one job adds up at the most: where parts are more, they are added up in a tree (100)
# SAMPLE    bytes of the first part that `plan` is measured with (4000000)
#
#   help    this text
#   plan    parts, bytes, and what each step will take in seconds and memory, as a sample of the first part takes it
#   stages  the steps, those of a line side by side, for slurm-array.sh
#
# A run that was stopped, however that came, goes on where it was. Another flag redoes what depends on it, and so do
# another part in a part's place and other contents. On a cluster with a shared disk, within salloc or sbatch:
#
#   salloc -n8 make -f FILE -j8 SHELL=srun ...

SHARDS ?= 1
SRUN ?= -Q -N1 -n1 --exact
FANIN ?= 100
SAMPLE ?= 4000000
# The list of parts may be longer than the system gives to a program; other variables go to `plan` by their names.
unexport PARTS
MAKEOVERRIDES :=
here := $(dir $(lastword $(MAKEFILE_LIST)))

# A failure anywhere in a pipe is one of the step. Each output has another name until it is whole.
SHELL := bash
.SHELLFLAGS = $(if $(filter %srun,$(SHELL)),$(SRUN) bash) -euo pipefail -c
to = > $@.new && mv $@.new $@
# The same for a step that is cheap while what follows is not: what comes out as it was stays as old as it was.
if-other = && if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi
to-if-other = > $@.new $(if-other)

.DELETE_ON_ERROR:
.SECONDEXPANSION:
.SUFFIXES:
.PHONY: always flags help plan stages

# $(call below,N): the numbers from 0, N of them.
digits := 0 1 2 3 4 5 6 7 8 9
longer = $(digits) $(foreach ten,$(filter-out 0,$1),$(digits:%=$(ten)%))
enough = $(if $(word $2,$1),$1,$(call enough,$(call longer,$1),$2))
below = $(if $(filter-out 0,$1),$(wordlist 1,$1,$(call enough,$(digits),$1)))

# Parts have numbers from 0: in recipes $(part) is what a program is told to read of this one, $(file.N) the file of
# part N and $(shard.N) which shard of it.
shards := $(if $(filter-out 1,$(SHARDS)),$(patsubst %,%/$(SHARDS),$(call below,$(SHARDS))),whole)
pieces := $(foreach file,$(PARTS),$(addsuffix :$(file),$(shards)))
numbers := $(call below,$(words $(pieces)))
number-of = $(firstword $(subst :, ,$1))
shard-of = $(word 2,$(subst :, ,$1))
file-of = $(patsubst $(number-of):$(shard-of):%,%,$1)
add-part = $(eval file.$(number-of) := $(file-of))\
$(eval shard.$(number-of) := $(addprefix --shard ,$(filter-out whole,$(shard-of))))\
$(eval part.$(number-of) := $(strip $(shard.$(number-of)) $(file-of)))
$(foreach piece,$(join $(addsuffix :,$(numbers)),$(pieces)),$(call add-part,$(piece)))
parts := $(words $(numbers))
part = $(part.$*)
# $(call each,NAME): that file of each part, as targets and prerequisites; $(call all,NAME): the same in a recipe,
# however many there are; $(call all-to,NAME) PROGRAM: as its operands, in several runs where they are too many for one.
# What is made of all parts is made anew where their number is another.
range = {$(firstword $1)..$(lastword $1)}
each = $(numbers:%=$(DIR)/%.$1)
all = $(DIR)/$(call range,$(numbers)).$1
all-to = printf '%s\n' $(all) | xargs
every = $(each) $(call flags,parts)
# The files themselves, each once, in a recipe; they are read where $(listed) are prerequisites.
all-files = $$(cat $(DIR)/flags/part.$(call range,$(numbers)) | sed 's/^--shard [^ ]* //' | uniq)
listed = $(call flags,$(numbers:%=part.%))
# What a step over a part's documents depends on.
documents = $$(file.$$*) $(DIR)/flags/part.%

# $(DIR)/flags/NAME holds what the variable NAME was. It is out of date, and with it what was made by it, where that
# is not what it is. `remembered` are the names that a makefile has.
flags = $(1:%=$(DIR)/flags/%)
same = $(and $(findstring <$1>,<$2>),$(findstring <$2>,<$1>))
quoted = '$(subst ','\'',$1)'
check = $(if $(call same,$($1),$(file < $(call flags,$1))),,$(eval $(call flags,$1): always))
memory := $(remembered) FANIN parts $(numbers:%=part.%)
# A job of slurm-array.sh finds them as they are.
ifndef SETTLED
$(foreach name,$(memory),$(call check,$(name)))
endif
flags: $(call flags,$(memory))
# They are small and many: no steps of a cluster.
$(DIR)/flags/%: override SHELL := $(if $(filter %srun,$(SHELL)),bash,$(SHELL))
$(DIR)/flags/%:
	@mkdir -p $(@D) && printf '%s\n' $(call quoted,$($*)) > $@

# How many rows stand before each part, by the columns of that name: a cut between equal documents asks for it.
first-rows = $(call all-to,$1) wc -l | awk '$$2 != "total" { printf "%d %d\n", part++, rows; rows += $$1 }'
first-row = --first-row $$(awk '$$1 == $* { print $$2 }' $(DIR)/first-rows)

# A tree over parts: FANIN files are added up to one of level 1, and so on until no more than FANIN are left, those of
# the level $(top). nodes.LEVEL are the numbers of its files, members.LEVEL.N those of what its file N is made of.
levels :=
top := 0
nodes.0 := $(numbers)
too-many := $(words x $(call below,$(FANIN)))
join-node = $(if $(word $(FANIN),$(members.$(level).$(node))),$(eval node := $(words $(nodes.$(level))))\
$(eval nodes.$(level) += $(node)))$(eval members.$(level).$(node) += $1)
add-level = $(eval level := $(words x $(levels)))$(eval levels += $(level))$(eval node := 0)\
$(eval nodes.$(level) := 0)$(foreach number,$(nodes.$(top)),$(call join-node,$(number)))\
$(eval under.$(level) := $(suffix.$(top)))$(eval suffix.$(level) := .$(level))$(eval top := $(level))
grow = $(if $(word $(too-many),$(nodes.$(top))),$(add-level)$(call grow))
$(if $(filter 0 1,$(FANIN)),$(error FANIN=$(FANIN): expected 2 or more))$(grow)
# $(call tree,BEFORE,BEHIND,COMMAND,NAME): the rules by which the files BEFORE`N`BEHIND of the parts are added up; those
# of a level are $(NAME.LEVEL), for the stages.
# $(call tops,BEFORE,BEHIND) are those that are left, $(call all-tops,BEFORE,BEHIND) the same in a recipe.
tree = $(foreach level,$(levels),$(eval $4.$(level) := $(nodes.$(level):%=$1%$2.$(level)))\
$(eval $(call add-up,$1,$2,$3,$(level),$4)))
define add-up
$($5.$4): $1%$2.$4: $$$$(addsuffix $2$(under.$4),$$$$(addprefix $1,$$$$(members.$4.$$$$*))) \
  $(call flags,parts FANIN)
	$3 $1$$(call range,$$(members.$4.$$*))$2$(under.$4) $$(to)
endef
tops = $(nodes.$(top):%=$1%$2$(suffix.$(top))) $(call flags,parts)
all-tops = $1$(call range,$(nodes.$(top)))$2$(suffix.$(top))

help:
	@awk 'FNR == 1 { head = 1 } !/^#/ { head = 0 } head { sub(/^# ?/, ""); print }' $(filter-out %/fit.mk,$(MAKEFILE_LIST))

stages:
	@:$(foreach stage,$(stages),$(info $(strip $($(stage)))))

plan:
	$(file > $(DIR).plan,$(PARTS))@trap 'rm $(DIR).plan' EXIT; $(here)plan --bytes $(SAMPLE) --shards $(SHARDS) \
	  --fanin $(FANIN) --makefile $(firstword $(MAKEFILE_LIST)) $(DIR).plan
