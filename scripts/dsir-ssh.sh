#!/usr/bin/env bash
# dsir-ssh.sh LOGINS TARGET PART...
#
# Importance resampling (DSIR) on machines that share no disk, by GNU parallel over ssh: documents go to a machine,
# what is made of them comes back, and nothing stays there. chosen.jsonl is that of dsir.mk over the same parts.
#
#   CHOICE='-n 10000 --min-length 100' ./dsir-ssh.sh 8/n1,8/n2 target.jsonl part.*.jsonl
#
# LOGINS is parallel's --sshlogin: 8/n1,8/n2 are eight jobs at a time on each of two machines, on which ngram-hash,
# dsir-weight and topk-resample must be found. TARGET and PARTs are relative paths. A job that fails, or whose machine
# does not answer, is tried on another. Started again after it was stopped, it goes on where it was: what is finished
# stands in dsir.ssh/*.log (remove that folder where a file's contents are others). Needs rsync on all machines.
#
# CHOICE   flags of topk-resample (-n 1000 --min-length 100)
set -euo pipefail
[[ $# -ge 3 ]] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
logins=$1 target=$2
parts=("${@:3}")
choice=${CHOICE:--n 1000 --min-length 100}
d=dsir.ssh

# A joblog knows jobs by their numbers alone: logs of other arguments are of no use.
mkdir -p $d
arguments=$(printf '%q ' "$target" "${parts[@]}")
[[ -e $d/arguments && $(< $d/arguments) == "$arguments" ]] || rm -f $d/*.log
printf '%s' "$arguments" > $d/arguments
[[ -e $d/choice && $(< $d/choice) == "$choice" ]] || rm -f $d/chosen.log
printf '%s' "$choice" > $d/choice

# each STEP ARGUMENT... COMMAND: the command on a machine for each part; {} is the part, {#} its number from 1.
each() {
  parallel --sshlogin "$logins" --workdir ... --joblog "$d/$1.log" --resume-failed --retries 3 --cleanup \
    --transferfile {} --return "$d/{#}.$1" "${@:2}" ::: "${parts[@]}"
}

# all STEP: that file of each part, in order.
all() {
  seq -f "$d/%.0f.$1" ${#parts[@]}
}

each counts "mkdir -p $d && ngram-hash {} > $d/{#}.counts"
all counts | xargs ngram-hash --add > $d/raw.counts
ngram-hash "$target" > $d/target.counts
each weights --transferfile $d/raw.counts --transferfile $d/target.counts \
  "dsir-weight --raw $d/raw.counts --target $d/target.counts {} > $d/{#}.weights"
all weights | xargs cat | topk-resample $choice --weights - --write-cut $d/cut
row=0
all weights | while read -r column; do
  echo $row
  row=$((row + $(wc -l < "$column")))
done > $d/first-rows
each chosen --transferfile $d/cut --transferfile $d/first-rows --transferfile "$d/{#}.weights" \
  "topk-resample --cut $d/cut --first-row \$(sed -n {#}p $d/first-rows) --weights $d/{#}.weights {} > $d/{#}.chosen"
all chosen | xargs cat > chosen.jsonl.new
mv chosen.jsonl.new chosen.jsonl
