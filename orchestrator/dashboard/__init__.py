"""The local web page over a storage's runs; `orchestrator dashboard` serves it.

index.py ── every run in a line, read again only where something changed
tables.py ─ metrics of the runs that are looked at, as columns
charts.py, goodput.py, marks.py, compare.py, logs.py ── what a page shows, from plain values
pages.py ── those, for one request;  server.py ── who may ask for what;  static/ ── the page
"""
