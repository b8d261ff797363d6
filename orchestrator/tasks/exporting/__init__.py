"""The files of a task model's directory: a class of transformers that fits, tokenizer, card."""
