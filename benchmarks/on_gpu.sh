#!/usr/bin/env bash
# What is to be measured first on a card, in 8 minutes: each block has its own limit in seconds and
# its own file in the folder OUT (default: on_gpu), so that whatever happens, the others are there.
#   benchmarks/on_gpu.sh            # on the card
#   DEVICE=cpu benchmarks/on_gpu.sh # a rehearsal on the CPU, with ten times the limits
# BLOCKS="smoke steps" runs some of them only.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

OUT=${OUT:-on_gpu} DEVICE=${DEVICE:-cuda} PYTHON=${PYTHON:-python}
[ "$DEVICE" = cpu ] && slower=10 || slower=1
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONDONTWRITEBYTECODE=1
mkdir -p "$OUT"
failed=0

block() { # name, limit, command...
    local name=$1 limit=$2 began=$SECONDS
    shift 2
    timeout $((limit * slower)) "$@" >"$OUT/$name.txt" 2>&1
    local status=$?
    [ $status -eq 0 ] || failed=$((failed + 1))
    echo "$name: status $status after $((SECONDS - began)) s, $OUT/$name.txt"
}
measured() { # name, limit
    block "$1" "$2" "$PYTHON" benchmarks/on_gpu.py "$1" --device "$DEVICE" --seconds "$(($2 - 15))"
}

only() { [ -z "${BLOCKS:-}" ] || [[ " $BLOCKS " == *" $1 "* ]]; }

[ "$DEVICE" = cpu ] || nvidia-smi >"$OUT/card.txt" 2>&1
only smoke && measured smoke 45
only tests && block tests 60 "$PYTHON" -m pytest -q -p no:cacheprovider -m cuda tests/test_on_a_card.py
only copies && measured copies 45
only steps && measured steps 150
only waits && measured waits 30
only float16 && measured float16 30
only bits && measured bits 40
only memory && measured memory 30
only training && measured training 60
only torchrun && block torchrun 40 env PYTHONPATH="$PYTHONPATH:$PWD/tests" "$PYTHON" \
    -m torch.distributed.run --standalone --nproc-per-node 1 tests/torchrun_tiny.py \
    --dataset critters --data "$OUT/critters" --arch plain --adv-train 1 --constraint 2 --eps 1 \
    --attack-lr 0.5 --attack-steps 2 --random-restarts 0 --use-best 1 --epochs 1 --batch-size 16 \
    --workers 0 --seed 1 --lr 0.05 --log-iters 1 --out-dir "$OUT/runs"
echo "$failed of the blocks failed"
[ $failed -eq 0 ]
