"""Folds events and committed results into the snapshot that every surface shows, and puts it into words."""
