"""Which hand-designed losses are worth starting from, and why."""

from lossearch.advice.labels import read_labels
from lossearch.advice.measure import measured_labels
from lossearch.advice.rules import Advice, AdviceRule, Reason, advise, rules
from lossearch.advice.situation import Situation

__all__ = ["Advice", "AdviceRule", "Reason", "Situation", "advise", "measured_labels", "read_labels", "rules"]
