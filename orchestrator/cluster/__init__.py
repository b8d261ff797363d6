"""Ray: clusters, submissions, drivers, worker groups. Only tuning/ knows Ray beside it."""
