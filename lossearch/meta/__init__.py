"""Meta-learning: coefficients of losses follow hypergradients over tasks. It comes as one more search method."""
