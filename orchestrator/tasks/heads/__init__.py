"""What stands on an encoder for a task: from hidden states to scores, and their loss."""
