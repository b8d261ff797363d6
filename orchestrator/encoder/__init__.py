"""Encoders of transformers, fed packs: attention within samples, heads where needed, counts."""
