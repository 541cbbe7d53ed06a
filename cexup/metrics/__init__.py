"""Metrics for Prometheus: `GET /metrics` on METRICS_PORT. Decision 44 has the reasons.

- files.py: the folder in which the workers count, and the slot of each worker
- recorder.py: the metrics that a worker counts
- middleware.py: counts each request
- database.py: the values that a scrape reads from the database
- server.py: responds to a scrape

Without METRICS_PORT, none of these modules is imported.
"""
