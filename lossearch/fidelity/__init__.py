"""How well cheap trainings rank losses as full ones do, and which setting a search should use."""

from lossearch.fidelity.measure import measure
from lossearch.fidelity.result import Fidelity, SettingResult

__all__ = ["Fidelity", "SettingResult", "measure"]
