"""Answers for the rows of files of any size: rows in, part by part, and rows with answers out."""
