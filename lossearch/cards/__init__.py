"""Loss cards: what is known of an exported loss, from which its score can be computed again."""

from lossearch.cards.card import Card, read_card
from lossearch.cards.making import card_path, make_card, write_card
from lossearch.cards.verification import Check, Verification, verify

__all__ = ["Card", "Check", "Verification", "card_path", "make_card", "read_card", "verify", "write_card"]
