"""Where numbers go: metrics in the run's folder are the truth, everything else shows them."""
