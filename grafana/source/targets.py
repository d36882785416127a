"""Queries of panels, one function per data source. Each is chosen by a variable, so that other names work, too."""

from urllib.parse import quote

PROMETHEUS = {"type": "prometheus", "uid": "${prometheus}"}
POSTGRES = {"type": "grafana-postgresql-datasource", "uid": "${postgres}"}
OPENSEARCH = {"type": "grafana-opensearch-datasource", "uid": "${opensearch}"}
JAEGER = {"type": "jaeger", "uid": "${jaeger}"}


def prom(expression: str, legend: str = "", instant: bool = False, table: bool = False, heatmap: bool = False) -> dict:
    """A PromQL query; `instant` for what a single number or a table shows."""
    return {
        "datasource": PROMETHEUS,
        "editorMode": "code",
        "expr": " ".join(expression.split()),
        "legendFormat": legend or "__auto",
        "format": "heatmap" if heatmap else "table" if table else "time_series",
        "instant": instant or table,
        "range": not (instant or table),
        "exemplar": False,
    }


def sql(statement: str, series: bool = False) -> dict:
    """A statement for PostgreSQL; `series` where it yields the columns time, metric and value."""
    return {
        "datasource": POSTGRES,
        "editorMode": "code",
        "format": "time_series" if series else "table",
        "rawQuery": True,
        "rawSql": " ".join(statement.split()),
    }


def search(query: str, buckets: list[dict], metrics: list[dict] | None = None, alias: str = "") -> dict:
    """A Lucene query with aggregations, as the OpenSearch plugin holds it."""
    return {
        "datasource": OPENSEARCH,
        "alias": alias,
        "query": query,
        "queryType": "lucene",
        "luceneQueryType": "Metric",
        "timeField": "timestamp",
        "metrics": metrics or [{"id": "1", "type": "count"}],
        "bucketAggs": buckets,
    }


def terms(identity: str, field: str, size: int = 10) -> dict:
    """Buckets of the most frequent values."""
    settings = {"order": "desc", "orderBy": "_count", "size": str(size), "min_doc_count": "1"}
    return {"id": identity, "type": "terms", "field": field, "settings": settings}


def over_time(identity: str) -> dict:
    """Buckets of time, as wide as the panel has room for."""
    settings = {"interval": "auto", "min_doc_count": "0", "trimEdges": "0"}
    return {"id": identity, "type": "date_histogram", "field": "timestamp", "settings": settings}


def filters(identity: str, queries: dict[str, str]) -> dict:
    """A bucket for each of some named queries."""
    listed = [{"label": label, "query": query} for label, query in queries.items()]
    return {"id": identity, "type": "filters", "settings": {"filters": listed}}


def traces(service: str, min_duration: str = "") -> dict:
    """The newest traces of a service."""
    wanted = {"queryType": "search", "service": service, "limit": 20}
    return {"datasource": JAEGER, **wanted, **({"minDuration": min_duration} if min_duration else {})}


# ---- links -----------------------------------------------------------------------------------


def to_dashboard(uid: str, title: str, **variables: str) -> dict:
    """A link to another dashboard over the same time; the values are Grafana's expressions for the clicked field."""
    chosen = "".join(f"&var-{name}={value}" for name, value in variables.items())
    return {"title": title, "url": f"/d/{uid}?${{__url_time_range}}&${{prometheus:queryparam}}{chosen}", "targetBlank": False}


def to_traces(service: str, operation: str = "", min_duration: str = "") -> dict:
    """A link to the traces of a service over the same time, in Explore on the Jaeger data source."""
    query = ['"refId":"A"', '"queryType":"search"', f'"service":"{service}"', '"limit":20']
    query += [f'"operation":"{operation}"'] if operation else []
    query += [f'"minDuration":"{min_duration}"'] if min_duration else []
    # What Grafana fills in must not be escaped; all else must.
    holes = {"DS": "${jaeger}", "FROM": "${__from}", "TO": "${__to}"}
    panes = (
        '{"t":{"datasource":"DS","queries":[{"datasource":{"type":"jaeger","uid":"DS"},' + ",".join(query) + "}],"
        '"range":{"from":"FROM","to":"TO"}}}'
    )
    text = quote(panes, safe="")
    for name, hole in holes.items():
        text = text.replace(f"%22{name}%22", f"%22{hole}%22")
    return {"title": f"Traces of {service}", "url": f"/explore?schemaVersion=1&panes={text}", "targetBlank": True}
