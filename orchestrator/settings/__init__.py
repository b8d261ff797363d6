"""What a job is: frozen typed dataclasses, one file per noun, and how they are read and checked."""
