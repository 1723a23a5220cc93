#!/usr/bin/env bash
# minipile-ssh.sh LOGINS PART...
#
# MiniPile on machines that share no disk, by GNU parallel over ssh: documents go to a machine, what is made of them
# comes back, and nothing stays there. The sets, minipile/train.jsonl and the like, are those of minipile.mk over the
# same parts.
#
#   SPLIT='--split train=1000000,test=10000 --exclude bad.txt' ./minipile-ssh.sh 1/n1,1/n2 part.*.jsonl
#
# LOGINS is parallel's --sshlogin, and the rest is as in dsir-ssh.sh; a model's folder must be on each machine, by a
# path from the root.
#
# EMBED   flags of jsonl-embed
# FIT     flags of kmeans-fit (-k 220 --batch 16384)
# SPLIT   flags of clip-sample (--split train=1000000,validation=500,test=10000)
set -euo pipefail
[[ $# -ge 2 ]] || { sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p}' "$0" >&2; exit 2; }
logins=$1
parts=("${@:2}")
fit=${FIT:--k 220 --batch 16384}
split=${SPLIT:---split train=1000000,validation=500,test=10000}
d=minipile.ssh

# A joblog knows jobs by their numbers alone: logs of other arguments are of no use.
# settled NAME VALUE LOG...: those logs go where NAME was another VALUE.
settled() {
  [[ -e $d/$1 && $(< "$d/$1") == "$2" ]] || rm -f "${@:3}"
  printf '%s' "$2" > "$d/$1"
}
mkdir -p $d
settled arguments "${EMBED:-} $(printf '%q ' "${parts[@]}")" $d/*.log
settled fit "$fit" $d/clusters.log $d/drawn.log
settled split "$split" $d/drawn.log

# each STEP INPUT ARGUMENT... COMMAND: the command on a machine for each part, of which INPUT goes there; {#} is its
# number from 1.
each() {
  parallel --sshlogin "$logins" --workdir ... --joblog "$d/$1.log" --resume-failed --retries 3 --cleanup \
    --transferfile "$2" --return "$d/{#}.$1" "${@:3}" ::: "${parts[@]}"
}

# all STEP: that file of each part, in order.
all() {
  seq -f "$d/%.0f.$1" ${#parts[@]}
}

each vectors {} --return "$d/{#}.keys" \
  "mkdir -p $d && jsonl-embed ${EMBED:-} {} > $d/{#}.vectors && jsonl-key {} > $d/{#}.keys"
[[ -e $d/clusters.log ]] || { all vectors | xargs kmeans-fit $fit > $d/new && mv $d/new $d/centroids; }
each clusters "$d/{#}.vectors" --transferfile $d/centroids \
  "kmeans-assign --centroids $d/centroids $d/{#}.vectors > $d/{#}.clusters"
for number in $(seq ${#parts[@]}); do
  paste "$d/$number.clusters" "$d/$number.keys" || exit 1
done | clip-sample $split --clusters - --key-field 3 --write-cut $d/cut
row=0
all clusters | while read -r column; do
  echo $row
  row=$((row + $(wc -l < "$column")))
done > $d/first-rows
# A part's sets come back as one file.
each drawn {} --transferfile $d/cut --transferfile $d/first-rows --transferfile "$d/{#}.clusters" \
  "clip-sample --cut $d/cut --first-row \$(sed -n {#}p $d/first-rows) --clusters $d/{#}.clusters --out $d/{#}.sets {} &&
   tar -C $d/{#}.sets -cf $d/{#}.drawn . && rm -r $d/{#}.sets"
rm -rf minipile.new
mkdir minipile.new
for archive in $(all drawn); do
  for set in $(tar -tf "$archive" | grep 'jsonl$'); do
    tar -xOf "$archive" "$set" >> "minipile.new/$set"
  done
done
rm -rf minipile
mv minipile.new minipile
