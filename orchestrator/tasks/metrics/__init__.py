"""What is measured on predictions, how sure that is, and what a report says of a model."""
