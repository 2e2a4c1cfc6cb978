#!/usr/bin/env bash
# Train the networks that come with the package and write them as it ships them: one safetensors
# file and one card each. Interrupted, the same command goes on. PYTHON chooses the interpreter.
# critters-robust and critters-standard begin with the bodies of the bundled networks of photographs
# (those shipped: with the former ones), which are trained on the folder DATA of Tiny ImageNet; both
# for MINUTES by the clock.
#
#     MINUTES=22 examples/train_bundled.sh OUT critters-robust
#     MINUTES=6 examples/train_bundled.sh OUT critters-standard
#     examples/train_bundled.sh OUT critters-vgg
#     DATA=DIR MINUTES=314 examples/train_bundled.sh OUT photographs-robust
#     DATA=DIR MINUTES=206 examples/train_bundled.sh OUT photographs-standard
#     DATA=DIR MINUTES=25 examples/train_bundled.sh OUT photographs-judge
set -euo pipefail

[ $# -ge 2 ] || { sed -n '2,/^set /s/^# \{0,1\}//p' "$0" >&2; exit 2; }
out=$1
shift
python=${PYTHON:-python}
examples=$(dirname "${BASH_SOURCE[0]}")

for name; do
    case $name in
        critters-robust) options=(--eps 4 --attack-lr 2.5) ;;
        critters-standard) options=(--adv-train 0) ;;
        critters-vgg) options=(critters_fine_standard --arch critters_vgg) ;;
        photographs-robust) options=(photographs_robust) ;;
        photographs-standard) options=(photographs_standard) ;;
        photographs-judge) options=(photographs_standard --arch critters_vgg) ;;
        *) echo "$name is not known: give critters-robust, photographs-robust, ..." >&2; exit 2 ;;
    esac
    exported=(--eps 4 --attack-steps 20)
    if [[ $name == critters-[rs]* ]]; then
        command=(examples/transfer.py --model "photographs-${name#critters-}" --dataset critters_fine
            "${options[@]}" --minutes "${MINUTES:-22}" --exp-name "$name")
        "$python" "$examples/transfer.py" "${command[@]:1}" --out-dir "$out"
        "$python" "$examples/export_model.py" "$out/$name.safetensors" "${exported[@]}" --half \
            --checkpoint "$out/$name/checkpoint.pt.latest" --command "python ${command[*]}"
        continue
    fi
    told=""
    if [[ $name == photographs-* ]]; then
        [ -n "${DATA:-}" ] || { echo "$name needs DATA, the folder of Tiny ImageNet" >&2; exit 2; }
        options+=(--minutes "${MINUTES:-200}")
        exported=(--eps 1 --half --dataset tiny_imagenet --data "$DATA")
        told="--data DIR "
    fi
    preset=$("$python" -m robust_reps_ext preset "${options[0]}")
    more=("${options[@]:1}")
    resume=()
    [ ! -e "$out/$name/checkpoint.pt.latest" ] || resume=(--resume)
    "$python" -m robustness.main --config-path "$preset" ${more[@]+"${more[@]}"} \
        ${told:+--data "$DATA"} --out-dir "$out" --exp-name "$name" ${resume[@]+"${resume[@]}"}
    "$python" "$examples/export_model.py" "$out/$name.safetensors" "${exported[@]}" \
        --checkpoint "$out/$name/checkpoint.pt.latest" \
        --command "python -m robustness.main --config-path \"\$(robust-reps preset ${options[0]})\" ${more[*]+${more[*]} }$told--out-dir runs --exp-name $name"
done
