-- Requests and errors per minute.
CREATE VIEW web_requests_per_minute AS
SELECT date_trunc('minute', timestamp) AS minute,
       count(*) AS requests,
       count(*) FILTER (WHERE status_code >= 500) AS server_errors,
       count(*) FILTER (WHERE status_code BETWEEN 400 AND 499) AS client_errors,
       round(count(*) FILTER (WHERE status_code >= 500)::numeric / count(*), 4) AS error_rate
FROM web_logs
GROUP BY 1;

-- What each store took in each hour, in whole currency units.
CREATE VIEW revenue_per_store_and_hour AS
SELECT store,
       date_trunc('hour', ordered_at) AS hour,
       count(*) AS orders,
       round(sum(total) / 100, 2) AS revenue
FROM orders
GROUP BY 1, 2;

-- What sells.
CREATE VIEW revenue_per_product AS
SELECT product,
       sum(quantity) AS sold,
       round(sum(quantity::numeric * unit_price) / 100, 2) AS revenue
FROM order_items
GROUP BY 1;
