"""Sources of text: which files there are, what of them a task reads, and the documents in them."""
