"""The Celery engine: one scheduler in the coordinator, workers on other machines are its hands."""
