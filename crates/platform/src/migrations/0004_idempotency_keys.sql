-- A POST that carries an Idempotency-Key is applied once: the key claims the row's id in the same
-- statement that writes the row, so a repeated request finds the row instead of writing another.

CREATE TABLE idempotency_keys (
    org_id         bigint      NOT NULL,
    kind           text        NOT NULL,
    key            text        NOT NULL,
    transaction_id bigint      NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, kind, key)
);
