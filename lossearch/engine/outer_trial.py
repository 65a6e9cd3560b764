"""Meta-learning as a trainable of Ray Tune, whose schedulers tune the settings of the outer loop."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from ray import tune
from ray.tune.result import DONE

from lossearch.candidates.stopping import NEVER
from lossearch.engine.driver.plan import make_plan
from lossearch.engine.driver.search import resolve
from lossearch.engine.island.attempt import evaluated
from lossearch.engine.remote.equipment import Equipment, equip
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.given import ConfigSource, read_given
from lossearch.engine.setup.meta_config import learning
from lossearch.engine.setup.parts import build_parts, island_method
from lossearch.ir.forms.joint import format_any

FILE = "outer_loop.json"
"""The file of a checkpoint."""


def meta_trainable(config: ConfigSource) -> type[OuterTrial]:
    """Meta-learning for `ray.tune.Tuner`: each trial is one outer loop with settings of its own.

    A trial's configuration holds settings of the method, such as `learning_rate`, `sigma` or `horizon`, in place of
    those given here. Each of its results is that of one checkpoint of the outer loop:

    - `score`: on the tasks and seeds that the outer loop does not see, higher is better; -inf where a training failed;
    - `outer_step`, `outer_value`, `outer_gradient` … and `coefficient.NAME`, as the archive of a run keeps them;
    - `formula`: of the loss, which every command and `lossearch.load` takes;
    - `done`: after as many as the configuration's limit on candidates or generations.

    A trial that goes on from a checkpoint, its own or after PBT's exploit another trial's, goes on exactly there.

    Args:
        config: As of `lossearch.meta_learn`; the seeds of its space are not trained, and neither is a race held.

    Raises:
        UserError: as `lossearch.meta_learn`.
    """
    given = read_given(config)
    written = resolve(learning(given.config), 1, None, None)
    with given.usable(written) as usable:
        make_plan(usable, 1)
        equipment = Equipment.of(usable)
    return type("MetaTrial", (OuterTrial,), {"equipment": equipment})


class OuterTrial(tune.Trainable):
    """One outer loop; see `meta_trainable`, which gives it its `equipment`."""

    equipment: ClassVar[Equipment]

    def setup(self, config: dict[str, Any]) -> None:
        """Seal the test split, and build the parts."""
        self.written = equip(self.equipment)
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in this process."""
        self._begin(new_config)
        return True

    def _begin(self, settings: dict[str, Any]) -> None:
        given = self.written.method
        method = type(given)(name=given.name, **{**given.settings, **settings})
        self.search = self.written.model_copy(update={"method": method})
        self.parts = build_parts(self.search)
        self.method = island_method(self.search, self.parts, 0, 1)
        self.proposals = 0

    def step(self) -> dict[str, Any]:
        """The outer steps to the next checkpoint, and its score."""
        proposal = self.method.propose()
        result = evaluated(self.parts.evaluator, proposal.graph, self.search.seed, NEVER, lambda training: None)
        merit = -math.inf
        if result.score is not None and math.isfinite(result.score):
            merit = result.score if self.parts.facts.higher_is_better else -result.score
        told = replace(proposal, graph=result.graph, reason=result.message)
        score = merit if math.isfinite(merit) else None
        self.method.tell(told, score, self.method.complexity(result.graph))
        self.proposals += 1
        return {
            "score": merit,
            **proposal.numbers,
            "formula": format_any(result.graph),
            DONE: self.proposals >= _most(self.search),
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write the state of the outer loop as one JSON file."""
        state = {"method": self.method.state(), "proposals": self.proposals}
        Path(checkpoint_dir, FILE).write_text(json.dumps(state, allow_nan=False), encoding="utf-8")

    def load_checkpoint(self, checkpoint: Any) -> None:
        """Go on exactly where `save_checkpoint` wrote the state, with the settings of this trial."""
        state = json.loads(Path(checkpoint, FILE).read_text(encoding="utf-8"))
        self.method.load_state(state["method"])
        self.proposals = state["proposals"]


def _most(config: SearchConfig) -> float:
    """Checkpoints after which a trial ends."""
    generations = config.generations and config.generations * config.generation_size
    return min((limit for limit in (config.max_candidates, generations) if limit), default=math.inf)
