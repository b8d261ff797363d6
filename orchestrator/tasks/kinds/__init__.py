"""The kinds of task: each reads examples, makes features of them, and answers out of scores."""
