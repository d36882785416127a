"""Business: what the web site and the bakeries do, asked of the stores themselves."""

from .dashboard import PROMETHEUS_VARIABLE, Dashboard, Row, data_source
from .panels import bad_above, bars, lines, pie, stat, table
from .targets import filters, over_time, prom, search, sql, terms, to_dashboard

STATUS = {
    "2xx": "status_code:[200 TO 299]",
    "3xx": "status_code:[300 TO 399]",
    "4xx": "status_code:[400 TO 499]",
    "5xx": "status_code:[500 TO 599]",
}
TO_MESH = to_dashboard("millrace-mesh", "Mesh overview")
BY_STATUS = """
    SELECT $__timeGroupAlias(timestamp, $__interval), (status_code / 100)::text || 'xx' AS metric,
           count(*)::float8 / extract(epoch FROM interval '$__interval') AS value
    FROM web_logs WHERE $__timeFilter(timestamp) GROUP BY 1, 2 ORDER BY 1
"""
ERROR_RATE = """
    SELECT $__timeGroupAlias(timestamp, $__interval), 'server errors' AS metric,
           count(*) FILTER (WHERE status_code >= 500)::float8 / count(*) AS value
    FROM web_logs WHERE $__timeFilter(timestamp) GROUP BY 1 ORDER BY 1
"""
ERROR_SHARE = """
    SELECT count(*) FILTER (WHERE status_code >= 500)::float8 / greatest(count(*), 1) AS error_rate
    FROM web_logs WHERE $__timeFilter(timestamp)
"""
ERROR_URLS = """
    SELECT url, count(*) AS requests, count(*) FILTER (WHERE status_code >= 500) AS errors,
           count(*) FILTER (WHERE status_code >= 500)::float8 / count(*) AS error_rate
    FROM web_logs WHERE $__timeFilter(timestamp) GROUP BY 1 ORDER BY errors DESC, requests DESC LIMIT 10
"""
REVENUE = "SELECT coalesce(sum(total), 0) / 100.0 AS revenue FROM orders WHERE $__timeFilter(ordered_at)"
ORDERS = "SELECT count(*) AS orders FROM orders WHERE $__timeFilter(ordered_at)"
MEAN_ORDER = "SELECT coalesce(avg(total), 0) / 100.0 AS mean FROM orders WHERE $__timeFilter(ordered_at)"
REVENUE_OVER_TIME = """
    SELECT $__timeGroupAlias(ordered_at, $__interval), store AS metric, sum(total) / 100.0 AS value
    FROM orders WHERE $__timeFilter(ordered_at) GROUP BY 1, 2 ORDER BY 1
"""
REVENUE_PER_STORE = """
    SELECT store, sum(total) / 100.0 AS revenue FROM orders WHERE $__timeFilter(ordered_at) GROUP BY 1 ORDER BY 2 DESC
"""
TOP_PRODUCTS = """
    SELECT i.product, sum(i.quantity) AS sold, sum(i.quantity::numeric * i.unit_price) / 100.0 AS revenue
    FROM order_items i JOIN orders o USING (topic, partition, "offset")
    WHERE $__timeFilter(o.ordered_at) GROUP BY 1 ORDER BY 3 DESC LIMIT 10
"""
PAYMENTS = "SELECT payment_method, count(*) AS orders FROM orders WHERE $__timeFilter(ordered_at) GROUP BY 1 ORDER BY 2 DESC"
IN_POSTGRES = "SELECT count(*) AS rows FROM web_logs WHERE $__timeFilter(timestamp)"

WEB = Row(
    "Web requests",
    [
        lines("Requests by status (OpenSearch)", "Documents in each interval of the panel, by class of status.", "short",
              [search("*", [filters("3", STATUS), over_time("2")], alias="{{filter}}")], stacked=True),
        lines("Requests per second by status (PostgreSQL)", "The same requests, counted in the other store.", "reqps", [sql(BY_STATUS, series=True)],
              stacked=True, links=[TO_MESH]),
        stat("Error rate", "Share of requests that were answered with 500 to 599 in the time shown.", "percentunit", [sql(ERROR_SHARE)],
             bad_above(0.05, 0.02), height=8, decimals=2),
        lines("Error rate over time", "Share of requests that were answered with 500 to 599. The generator has incidents now and then.", "percentunit",
              [sql(ERROR_RATE, series=True)], bad_above(0.05, 0.02), width=10, most=1),
        bars("Top URLs (OpenSearch)", "The URLs that were asked for most.", "short", [search("*", [terms("2", "url", 10)])], width=10),
        table("URLs with errors (PostgreSQL)", "Where server errors come from.", [sql(ERROR_URLS)],
              {"url": "URL", "requests": "Requests", "errors": "Server errors", "error_rate": "Error rate"}, {"error_rate": "percentunit"},
              width=12, thresholds={"error_rate": bad_above(0.1, 0.05)}),
        bars("Methods (OpenSearch)", "Requests by method.", "short", [search("*", [terms("2", "method", 10)])], width=6, height=9),
        bars("Server errors by URL (OpenSearch)", "The URLs that failed most.", "short",
             [search("status_code:[500 TO 599]", [terms("2", "url", 10)])], width=6, height=9),
    ],
)

BAKERY = Row(
    "Orders of the bakeries",
    [
        stat("Revenue", "Sum of all orders in the time shown. Money is kept in cents.", "currencyEUR", [sql(REVENUE)], width=8, decimals=2),
        stat("Orders", "Orders in the time shown.", "short", [sql(ORDERS)], width=8),
        stat("Mean order", "Revenue of an order.", "currencyEUR", [sql(MEAN_ORDER)], width=8, decimals=2),
        lines("Revenue per store", "Sum of the orders in each interval of the panel.", "currencyEUR", [sql(REVENUE_OVER_TIME, series=True)], stacked=True),
        bars("Revenue per store, all in all", "In the time shown.", "currencyEUR", [sql(REVENUE_PER_STORE)], width=12),
        table("Top products", "What sells, by revenue.", [sql(TOP_PRODUCTS)], {"product": "Product", "sold": "Sold", "revenue": "Revenue"},
              {"revenue": "currencyEUR"}, width=12),
        pie("Payment methods", "Orders by the way they were paid.", "short", [sql(PAYMENTS)], width=12, height=9),
    ],
)

BOTH = Row(
    "Do the stores agree?",
    [
        stat("Requests in PostgreSQL", "Rows whose timestamp is in the time shown.", "short", [sql(IN_POSTGRES)], width=8),
        stat("Requests in OpenSearch", "Documents whose timestamp is in the time shown; a refresh later than PostgreSQL.", "short",
             [search("*", [over_time("2")], alias="documents")], width=8),
        stat("Requests produced", "Acknowledged records of web-logs in the time shown, as the generator counts them.", "short",
             [prom('sum(increase(millrace_generator_acked_total{topic="web-logs"}[$__range]))', instant=True)], width=8, decimals=0, links=[TO_MESH]),
    ],
)
BOTH.panels[1].options["reduceOptions"]["calcs"] = ["sum"]

BUSINESS = Dashboard(
    "millrace-business",
    "Millrace / Business",
    "Requests, errors and top URLs of the web site; revenue and products of the bakeries, from PostgreSQL and OpenSearch.",
    [
        PROMETHEUS_VARIABLE,
        data_source("postgres", "PostgreSQL", "grafana-postgresql-datasource"),
        data_source("opensearch", "OpenSearch", "grafana-opensearch-datasource"),
    ],
    [WEB, BAKERY, BOTH],
)
