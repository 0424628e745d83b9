"""Policies: pick, limit, retry, timeout, health, hedge, models, predict; a question each, beside what answers it."""
