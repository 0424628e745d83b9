"""Results in input order, or as they come: json, jsonl and OpenAI Batch files, written so that none is ever torn."""
