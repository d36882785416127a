"""Dashboards, rules and runbooks: what can be checked without a mesh (scripts/test dashboards), and queries.py on one."""
