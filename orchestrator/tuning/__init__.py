"""Sweeps: trials are chosen, run, judged, compared. Ray Tune runs them, the ledger knows them."""
