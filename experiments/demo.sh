#!/usr/bin/env bash
# Search a loss for digits with noisy labels, compare it on the test split, export it and write a report.
# Each command is shown as it runs. An earlier run is never touched: the next free name under runs/ is taken.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

run=runs/demo
number=1
while [ -e "$run" ]; do
    number=$((number + 1))
    run=runs/demo-$number
done
if [ "$number" -gt 1 ]; then
    echo "Earlier demo runs are kept; this one goes to $run."
fi

show_and_run() {
    printf '\n$ %s\n' "$*"
    "$@"
}

show_and_run lossearch search experiments/digits_noise.toml --out "$run"
show_and_run lossearch compare "$run@1" --task digits_noise --baselines --seeds 20 --out "$run/comparison"
show_and_run lossearch export "$run@1" -o "$run/best.py"
show_and_run lossearch export "$run@1" -o "$run/best.pt"
show_and_run lossearch report "$run"

printf '\nTest accuracy of the discovered loss and the tuned hand-designed losses\n'
cat "$run/comparison/table.txt"
show_and_run lossearch show "$run@1"
printf '\nFiles\n'
find "$run" -maxdepth 2 -type f | sort
