#!/usr/bin/env bash
# Train the networks that come with the package and write them as it ships them: one safetensors
# file and one card each. Interrupted, the same command goes on. PYTHON chooses the interpreter.
#
#     examples/train_bundled.sh OUT [robust|standard|vgg ...]
set -euo pipefail

[ $# -ge 1 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$1
shift
[ $# -ge 1 ] || set -- standard vgg robust
python=${PYTHON:-python}
examples=$(dirname "${BASH_SOURCE[0]}")

for name; do
    case $name in
        robust) options=(critters_fine_robust) ;;
        standard) options=(critters_fine_standard) ;;
        vgg) options=(critters_fine_standard --arch critters_vgg) ;;
        *) echo "$name is not known: give robust, standard or vgg" >&2; exit 2 ;;
    esac
    preset=$("$python" -m robust_reps_ext preset "${options[0]}")
    more=("${options[@]:1}")
    resume=()
    [ ! -e "$out/$name/checkpoint.pt.latest" ] || resume=(--resume)
    "$python" -m robustness.main --config-path "$preset" ${more[@]+"${more[@]}"} \
        --out-dir "$out" --exp-name "$name" ${resume[@]+"${resume[@]}"}
    "$python" "$examples/export_model.py" "$out/critters-$name.safetensors" \
        --checkpoint "$out/$name/checkpoint.pt.latest" --eps 4 \
        --command "python -m robustness.main --config-path \"\$(robust-reps preset ${options[0]})\" ${more[*]+${more[*]} }--out-dir runs --exp-name $name"
done
