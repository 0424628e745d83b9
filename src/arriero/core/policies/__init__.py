"""Policies: one question each, one file each; `now` and chance are passed in."""
