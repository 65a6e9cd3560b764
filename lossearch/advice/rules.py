"""Rules of advice: rows of a TOML file, each with the facts on which it rests, its reason and its source."""

from __future__ import annotations

import logging
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from lossearch import zoo
from lossearch.advice.situation import Situation
from lossearch.errors import UserError

_LOG = logging.getLogger(__name__)

FILE = Path(__file__).with_name("rules.toml")


class AdviceRule(BaseModel):
    """One row.

    Attributes:
        loss: A hand-designed loss, with arguments if need be.
        family: Task family that it serves.
        within: Facts that must be known and lie in a range [least, most].
        among: Facts that must be known and be one of these words.
        strength: How much the rule counts; rules for one loss add up.
        reason: Why, in a sentence.
        source: Author and year.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    loss: str
    family: str
    within: dict[str, tuple[float, float]] = {}
    among: dict[str, tuple[str, ...]] = {}
    strength: Annotated[float, Field(gt=0.0)] = 1.0
    reason: str
    source: str

    def applies(self, situation: Situation) -> bool:
        """Whether the loss fits, and every fact that the rule asks for is known and fits."""
        if self.family != situation.family or situation.signature not in (None, zoo.entry(self.loss).signature.name):
            return False
        for name, (least, most) in self.within.items():
            fact = situation.fact(name)
            if fact is None or isinstance(fact, str) or not least <= fact <= most:
                return False
        return all(situation.fact(name) in words for name, words in self.among.items())


@dataclass(frozen=True)
class Reason:
    """Why a loss is advised, and who says so."""

    text: str
    source: str


@dataclass(frozen=True)
class Advice:
    """A loss worth starting from, with the sum of its rules' strengths."""

    loss: str
    strength: float
    reasons: tuple[Reason, ...]


@cache
def rules() -> tuple[AdviceRule, ...]:
    """Every rule, in the order of the file."""
    rows: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["rule"]
    return tuple(AdviceRule.model_validate(row) for row in rows)


def facts_asked_for(family: str) -> list[str]:
    """The facts that rules of a family ask for, by the names under which they are given."""
    asked = {name for rule in rules() if rule.family == family for name in (*rule.within, *rule.among)}
    return sorted("class_frequencies" if name == "imbalance" else name for name in asked)


def check_asked_for(facts: Mapping[str, Any], situation: Situation) -> None:
    """Refuse facts that no rule of the situation's family asks for, and warn of words that none of them knows.

    Args:
        facts: as somebody gave them, in addition to what was measured.
        situation: that they are part of.

    Raises:
        UserError: a fact would change nothing.
    """
    family = situation.family
    asked = facts_asked_for(family)
    # The number of classes is held against their frequencies; that predictions are maps follows from a foreground.
    followed = {"family", "signature", *(["classes"] if "class_frequencies" in facts else [])}
    followed |= {"spatial"} if "foreground_share" in facts else set()
    idle = [name for name, fact in facts.items() if fact is not None and name not in {*asked, *followed}]
    if idle:
        raise UserError(
            f"facts that rules of the family {family} ask for: {', '.join(asked) or 'none'}",
            ", ".join(idle),
            f"leave out what changes nothing{_other_families(idle)}",
        )
    for name in ("metric", "architecture"):
        words = {word for rule in rules() if rule.family == family for word in rule.among.get(name, ())}
        word = situation.fact(name)
        if facts.get(name) is not None and word not in words:
            told = ", ".join(sorted(words))
            _LOG.warning("no rule of the family %s asks for the %s %s, which changes nothing; they ask for %s",
                         family, name, word, told)  # fmt: skip


def _other_families(facts: Iterable[str]) -> str:
    """Which families ask for these facts."""
    found = [
        f"{name} counts in {', '.join(families)}"
        for name in facts
        if (families := sorted({rule.family for rule in rules() if name in facts_asked_for(rule.family)}))
    ]
    return f", or name another family: {'; '.join(found)}" if found else ""


def advise(situation: Situation, most: int | None = None) -> list[Advice]:
    """Hand-designed losses worth starting from, the most advisable first.

    Raises `UserError` for a family that has no losses or no rules.
    """
    zoo.names(situation.family)  # raises for an unknown family
    found: dict[str, list[AdviceRule]] = defaultdict(list)
    for rule in rules():
        if rule.applies(situation):
            found[rule.loss].append(rule)
    if not found:
        known = ", ".join(sorted({rule.family for rule in rules()}))
        raise UserError(f"a family with rules ({known}) and facts", repr(situation.family), "describe the task")
    ranked = [
        Advice(
            loss,
            sum(rule.strength for rule in fitting),
            tuple(Reason(r.reason, r.source) for r in sorted(fitting, key=lambda r: -r.strength)),
        )
        for loss, fitting in found.items()
    ]
    return sorted(ranked, key=lambda advice: -advice.strength)[:most]
