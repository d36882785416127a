"""Queries that may rightly have no answer on a mesh that is well, each with the reason. Their metrics must exist all the same."""

# (dashboard, panel): reason
MAY_BE_EMPTY = {
    ("millrace-mesh", "Alerts that fire"): "no alert fires",
    ("millrace-brokers", "Errors per second"): "no request was refused",
}
# Metrics that exist only while something is the matter.
MAY_BE_ABSENT = {
    "ALERTS": "Prometheus makes it of the alerts that are pending or fire",
}
# Data sources that no test can ask.
NOT_ASKED = {
    "jaeger": "no registry carries its server; tests/e2e/collector shows that spans arrive",
}
