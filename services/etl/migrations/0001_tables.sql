-- Every row carries the place of its record: (topic, partition, offset), once only.

CREATE TABLE web_logs (
    topic           text        NOT NULL,
    partition       integer     NOT NULL,
    "offset"        bigint      NOT NULL,
    kafka_timestamp timestamptz,
    ip              inet        NOT NULL,
    timestamp       timestamptz NOT NULL,
    method          text        NOT NULL,
    url             text        NOT NULL,
    status_code     integer     NOT NULL CHECK (status_code BETWEEN 100 AND 599),
    user_agent      text        NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);
-- Log lines arrive nearly in the order of their time, so a BRIN index finds a period for next to nothing.
CREATE INDEX web_logs_timestamp ON web_logs USING brin (timestamp);
CREATE INDEX web_logs_errors ON web_logs (timestamp, status_code) WHERE status_code >= 500;
CREATE INDEX web_logs_ip ON web_logs (ip, timestamp);

-- Money is in cents.
CREATE TABLE orders (
    topic           text        NOT NULL,
    partition       integer     NOT NULL,
    "offset"        bigint      NOT NULL,
    kafka_timestamp timestamptz,
    order_id        text        NOT NULL,
    customer        text        NOT NULL,
    total           bigint      NOT NULL,
    store           text        NOT NULL,
    payment_method  text        NOT NULL,
    ordered_at      timestamptz NOT NULL,
    PRIMARY KEY (topic, partition, "offset")
);
-- Not unique: a producer may send an order twice, and both records are kept.
CREATE INDEX orders_order_id ON orders (order_id);
CREATE INDEX orders_store_ordered_at ON orders (store, ordered_at);

CREATE TABLE order_items (
    topic      text    NOT NULL,
    partition  integer NOT NULL,
    "offset"   bigint  NOT NULL,
    line       integer NOT NULL, -- from 1, in the order of the record
    product    text    NOT NULL,
    quantity   integer NOT NULL,
    unit_price bigint  NOT NULL,
    PRIMARY KEY (topic, partition, "offset", line),
    FOREIGN KEY (topic, partition, "offset") REFERENCES orders ON DELETE CASCADE
);
CREATE INDEX order_items_product ON order_items (product);

-- Where each partition continues. Moved in the transaction of the rows, on the condition that it still holds the offset
-- that the batch began at: so rows are stored once, whoever else writes.
CREATE TABLE ingest_offsets (
    cluster_id  text        NOT NULL,
    topic_id    text        NOT NULL,
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    next_offset bigint      NOT NULL,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic, partition)
);

-- Offsets that retention took before they could be read: from_offset and above, below to_offset.
CREATE TABLE ingest_gaps (
    cluster_id  text        NOT NULL,
    topic_id    text        NOT NULL,
    topic       text        NOT NULL,
    partition   integer     NOT NULL,
    from_offset bigint      NOT NULL,
    to_offset   bigint      NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (topic_id, partition, from_offset)
);
