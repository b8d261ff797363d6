"""Ray: clusters, submissions, drivers, worker groups. The only layer beside tuning/ that knows it."""
