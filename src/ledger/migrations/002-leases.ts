/**
 * Who works what, so that several processes share the keys in `dirty`. `schema` is a quoted identifier.
 *
 * A lease is its holder's until `expires_at`, by the database's clock. `through` and `doubted` are positions in `dirty`,
 * for what a killed holder may have sent without recording it (docs/decisions/crash-horizon.md).
 */
export const leases = (schema: string): string => `
  CREATE TABLE ${schema}.leases (
    name       text COLLATE "C" PRIMARY KEY,
    holder     text,
    expires_at timestamptz,
    through    bigint NOT NULL DEFAULT 0,
    doubted    bigint NOT NULL DEFAULT 0
  ) WITH (fillfactor = 50);
  -- A vacuum that gives pages back to the disk takes a lock that writers wait for, and the next ones need the pages again.
  ALTER TABLE ${schema}.dirty SET (vacuum_truncate = off);
  COMMENT ON TABLE ${schema}.leases IS 'Which worker has which part of the work: "dirty 0" to "dirty 31" are parts of the keys in dirty, "scan …" is the scan of a table, "worker …" is a worker that has something to do.';
  COMMENT ON COLUMN ${schema}.leases.expires_at IS 'A holder that does not renew it until then has lost it.';
  COMMENT ON COLUMN ${schema}.leases.through IS 'How far in dirty its holder may have sent.';
  COMMENT ON COLUMN ${schema}.leases.doubted IS 'How far in dirty an earlier holder may have sent without recording it.';
`
