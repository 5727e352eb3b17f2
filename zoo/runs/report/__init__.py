"""``report.html`` of a run: what was trained on what, how good it is, and where it errs.

``subject`` is what a report is about, ``page`` puts it together, ``looking`` asks the network.
"""
