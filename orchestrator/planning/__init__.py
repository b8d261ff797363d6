"""Everything that can be known before anything is held: findings and estimates, as one Plan."""
