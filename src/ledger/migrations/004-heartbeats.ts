/** Who works on this database, and how each of them stands. `schema` is a quoted identifier. */
export const heartbeats = (schema: string): string => `
  CREATE TABLE ${schema}.heartbeats (
    process       uuid        PRIMARY KEY,
    started_at    timestamptz NOT NULL,
    beat_at       timestamptz NOT NULL,
    state         text        NOT NULL,
    since         timestamptz NOT NULL,
    slot          text,
    confirmed_lsn pg_lsn,
    round_trip_ms double precision
  ) WITH (fillfactor = 50);
  COMMENT ON TABLE ${schema}.heartbeats IS 'One row for each process that delivers: how it stood when it was last heard of.';
  COMMENT ON COLUMN ${schema}.heartbeats.state IS '"standby", "connecting", "streaming", "stalled", "spilling", "working" (without replication) or "stopped".';
  COMMENT ON COLUMN ${schema}.heartbeats.since IS 'Since when it is in this state.';
  COMMENT ON COLUMN ${schema}.heartbeats.slot IS 'The replication slot that it reads, or waits for.';
  COMMENT ON COLUMN ${schema}.heartbeats.confirmed_lsn IS 'How far it has confirmed the slot.';
  COMMENT ON COLUMN ${schema}.heartbeats.round_trip_ms IS 'How long the last heartbeat took through the WAL and back.';
`
