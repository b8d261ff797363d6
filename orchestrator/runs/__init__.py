"""What a run leaves behind: its folder, on any file system, and everything that reads it back."""
