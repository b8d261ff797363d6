"""Rows of labelled data, out of every format that it comes in."""
