"""From a proposed loss to its score: screening, then training."""
