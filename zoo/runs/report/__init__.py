"""``report.html`` of a run: run details, metrics and mistakes.

``subject`` is the run with its evaluated samples, ``page`` renders the report.
"""
