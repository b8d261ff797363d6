"""Downstream tasks: examples out of files, the kinds of what is predicted, and its measures."""
