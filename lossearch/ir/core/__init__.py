"""What a graph is: nodes, types, operators, signatures."""
