"""Inputs: txt and jsonl files, standard input and Python lists to Requests; the scan, and the feed behind it."""
