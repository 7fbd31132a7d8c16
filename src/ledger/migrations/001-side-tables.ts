/** Ids are compared by their bytes: in a language's collation that costs the indexes several times as much. */
const id = 'text COLLATE "C"'

/**
 * The side tables. `schema` is a quoted identifier.
 *
 * What is paid for by every row: one index on `objects` and one on `submissions`, no foreign keys. `objects` leaves room
 * in its pages, so that an update touches neither index (no indexed column changes: a heap-only update).
 */
export const sideTables = (schema: string): string => `
  CREATE TABLE ${schema}.objects (
    namespace    ${id}        NOT NULL,
    object_id    ${id}        NOT NULL,
    source       text        NOT NULL,
    state        text        NOT NULL CHECK (state IN ('accepted', 'parked', 'dead')),
    request_id   ${id},
    fingerprint  text,
    accepted_at  timestamptz,
    lsn          pg_lsn,
    attempts     integer     NOT NULL DEFAULT 0,
    retry_at     timestamptz,
    error        jsonb,
    key          jsonb,
    status       text,
    output       jsonb,
    url          text,
    evaluated_at timestamptz,
    PRIMARY KEY (namespace, object_id)
  ) WITH (fillfactor = 85);
  CREATE INDEX objects_refused ON ${schema}.objects (state, retry_at) WHERE state <> 'accepted';
  COMMENT ON TABLE ${schema}.objects IS 'What SafetyKit knows: one row for each object, with the request that it was last accepted under.';
  COMMENT ON COLUMN ${schema}.objects.source IS 'The table that the object comes from.';
  COMMENT ON COLUMN ${schema}.objects.request_id IS 'The request that was last accepted; null if none was.';
  COMMENT ON COLUMN ${schema}.objects.fingerprint IS 'Of the content that was last accepted.';
  COMMENT ON COLUMN ${schema}.objects.lsn IS 'The position in the WAL that the accepted content stems from.';
  COMMENT ON COLUMN ${schema}.objects.attempts IS 'How often it was refused in a row.';
  COMMENT ON COLUMN ${schema}.objects.error IS 'Why it was refused: code, status, message, hint, and when (at).';
  COMMENT ON COLUMN ${schema}.objects.key IS 'The key of its row, while it is parked or dead.';

  CREATE TABLE ${schema}.requests (
    request_id   ${id}        PRIMARY KEY,
    namespace    ${id}        NOT NULL,
    kind         text        NOT NULL CHECK (kind IN ('add', 'import')),
    object_count integer     NOT NULL,
    status       text        NOT NULL,
    object_key   text,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    error        jsonb
  );
  COMMENT ON TABLE ${schema}.requests IS 'One row for each request that SafetyKit accepted.';

  CREATE TABLE ${schema}.submissions (
    namespace    ${id}        NOT NULL,
    object_id    ${id}        NOT NULL,
    request_id   ${id}        NOT NULL,
    submitted_at timestamptz NOT NULL
  );
  -- Each request is written once, so that no key has to say so; the index of one would cost four times this one.
  CREATE INDEX submissions_object ON ${schema}.submissions (object_id);
  -- Without a key, deletes from a table that someone publishes are refused.
  ALTER TABLE ${schema}.submissions REPLICA IDENTITY FULL;
  COMMENT ON TABLE ${schema}.submissions IS 'The history: one row for each object of each request.';

  CREATE TABLE ${schema}.dirty (
    seq       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    source    text        NOT NULL,
    key       jsonb,
    force     boolean     NOT NULL DEFAULT false,
    marked_at timestamptz NOT NULL DEFAULT now()
  );
  COMMENT ON TABLE ${schema}.dirty IS 'Keys of rows that wait to be read and sent. A null key is the whole table.';
  COMMENT ON COLUMN ${schema}.dirty.force IS 'Send it even if its content is what was accepted.';

  CREATE TABLE ${schema}.settings (
    namespace   ${id}        PRIMARY KEY,
    fingerprint text        NOT NULL,
    pushed_at   timestamptz NOT NULL
  );
  COMMENT ON TABLE ${schema}.settings IS 'The settings that were last pushed, one row for each namespace.';

  CREATE TABLE ${schema}.scans (
    source      text        PRIMARY KEY,
    cursor      jsonb,
    reason      text        NOT NULL,
    started_at  timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    finished_at timestamptz
  );
  COMMENT ON TABLE ${schema}.scans IS 'How far the scan of a table has come.';

  CREATE TABLE ${schema}.horizons (
    name       text        PRIMARY KEY,
    through    bigint      NOT NULL,
    updated_at timestamptz NOT NULL
  );
  COMMENT ON TABLE ${schema}.horizons IS 'How far a running process may have sent; what a killed one leaves tells the next which changes may have been sent without being recorded.';
`
