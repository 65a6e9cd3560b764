"""Every loss against other implementations of it, forward plus backward: `python -m …bench_losses`.

Ours is the module on each backend; the others are libraries' losses and hand-written eager forms, at a small and a
large size. Prints microseconds, the ratio of our best backend to the fastest other (median over rounds), and the most
memory that either holds at once beyond its inputs. All forms must agree in value and in the length of their gradient.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from typing import cast

import torch

from lossearch import zoo
from lossearch.experiments.benchmarks.rows import ROWS
from lossearch.experiments.benchmarks.rows.row import Row, Size
from lossearch.experiments.benchmarks.timing import Call, check_agreement, interleaved, peak_bytes, ratio

BACKENDS = ("eager", "torchscript", "compile")


def measure(row: Row, size: Size, backends: Sequence[str], rounds: int, device: str) -> tuple[str, float, str]:
    """A line of the table, the ratio in it, and the fastest other."""
    torch.compiler.reset()  # as for who has one size: kernels for a second one would be for any
    groups = row.calls(size, backends, device)
    calls: dict[str, Call] = {
        f"{group} {name}": call for group, found in groups.items() for name, call in found.items()
    }
    # At the large size sums of others round: MONAI's Dice is 4e-4 from its value in double precision.
    check_agreement(calls, 1e-3 if size == "large" else 1e-4)
    taken = interleaved(calls, rounds)
    medians = {name: statistics.median(times) for name, times in taken.items()}

    def best(*groups: str) -> str | None:
        names = [name for name in calls if name.split()[0] in groups]
        return min(names, key=medians.__getitem__, default=None)

    ours, other = best("ours"), best("library", "hand")
    assert ours is not None
    assert other is not None
    against = ratio(taken[ours], taken[other])
    shown = [best("library"), best("hand"), *(f"ours {backend}" for backend in backends)]
    figures = "".join(f"{'-' if name is None else f'{medians[name] * 1e6:.1f}':>11}" for name in shown)
    memory = "".join(f"{peak_bytes(calls[name]) / 2**20:>10.3f}" for name in (ours, other))
    shape = "x".join(map(str, getattr(row.inputs, size)))
    return f"{row.name:30} {shape:>14}{figures}{against:>8.2f}{memory}", against, f"{ours} against {other}"


def main() -> None:
    """Print the table, and what is slower than another form."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="rounds at the small size; a twentieth at the large")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="losses to measure")
    parser.add_argument("--sizes", choices=("small", "large", "both"), default="both")
    parser.add_argument("--no-inductor", action="store_true", help="leave out torch.compile")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    backends = BACKENDS[:2] if options.no_inductor else BACKENDS
    sizes = cast(list[Size], ["small", "large"] if options.sizes == "both" else [options.sizes])
    rows = [row for row in ROWS if not options.only or row.loss_name in options.only]
    heads = "".join(f"{head:>11}" for head in ("library", "hand", *backends))
    print(f"{f'µs on {device}':30} {'size':>14}{heads}{'ratio':>8}{'MiB ours':>10}{'theirs':>10}", flush=True)
    slower: list[tuple[float, str]] = []
    for row in rows:
        for size in sizes:
            rounds = options.rounds if size == "small" else max(7, options.rounds // 20)
            line, against, pair = measure(row, size, backends, rounds, device)
            print(line, flush=True)
            if against > 1.0:
                slower.append((against, f"{row.name} {size}: {pair}"))
    print(f"\nratio above 1.0: {len(slower)} of {len(rows) * len(sizes)}")
    for against, what in sorted(slower, reverse=True):
        print(f"{against:8.2f}  {what}")
    if missing := sorted(set(zoo.names()) - {row.loss_name for row in ROWS}):
        print(f"without a row: {', '.join(missing)}")


if __name__ == "__main__":
    main()
