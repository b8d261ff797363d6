"""Tokenizers: trained on the corpus or taken from elsewhere, and what makes rows of its text."""
