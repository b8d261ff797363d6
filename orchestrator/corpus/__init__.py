"""Text to training: documents, their order, samples, packs, masks; and what proves what was fed."""
