"""The verbs. Each module is imported only when one of its verbs is typed."""
