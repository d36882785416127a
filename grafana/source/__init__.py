"""The dashboards' source: `make dashboards` writes grafana/dashboards/*.json from it, and a test says whether they are current."""
