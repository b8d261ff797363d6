"""Terms of a loss: each a sum over the chosen places of a pack, and a count that needs no model."""
