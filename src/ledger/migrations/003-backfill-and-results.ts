/**
 * For imports and for what SafetyKit answers. `schema` is a quoted identifier.
 *
 * The index over the time of submission is a block range index: rows come in that order, so it costs the writers nothing, and
 * it finds the objects of one request among millions.
 */
export const backfillAndResults = (schema: string): string => `
  ALTER TABLE ${schema}.scans DROP CONSTRAINT scans_pkey, ADD PRIMARY KEY (source, reason);
  COMMENT ON COLUMN ${schema}.scans.reason IS '"mark": something may have been missed; "backfill": someone asked for it; "every": when the table is to be scanned again.';

  ALTER TABLE ${schema}.objects ADD COLUMN evaluated_request_id text COLLATE "C";
  COMMENT ON COLUMN ${schema}.objects.status IS 'What became of the evaluation: succeeded or failed.';
  COMMENT ON COLUMN ${schema}.objects.output IS 'What SafetyKit said: actions, fields, labels.';
  COMMENT ON COLUMN ${schema}.objects.evaluated_request_id IS 'The request that the evaluation is of; where it is not request_id, the newest content is not evaluated yet.';

  ALTER TABLE ${schema}.submissions ADD COLUMN key jsonb;
  COMMENT ON COLUMN ${schema}.submissions.key IS 'The key of its row, where it came by an import and its id does not tell it.';
  CREATE INDEX submissions_time ON ${schema}.submissions USING brin (submitted_at) WITH (autosummarize = on);

  ALTER TABLE ${schema}.requests ADD COLUMN completed_at timestamptz;
  COMMENT ON COLUMN ${schema}.requests.completed_at IS 'Since when nothing more is expected of it: it has succeeded or failed, and its results were taken.';
  CREATE INDEX requests_open ON ${schema}.requests (updated_at) WHERE completed_at IS NULL;

  CREATE TABLE ${schema}.webhooks (
    webhook_id  text COLLATE "C" PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now(),
    namespace   text COLLATE "C" NOT NULL,
    object_id   text COLLATE "C" NOT NULL,
    request_id  text COLLATE "C" NOT NULL,
    event       jsonb,
    applied_at  timestamptz
  );
  CREATE INDEX webhooks_waiting ON ${schema}.webhooks (received_at) WHERE applied_at IS NULL;
  COMMENT ON TABLE ${schema}.webhooks IS 'One row for each webhook that was received, so that none counts twice.';
  COMMENT ON COLUMN ${schema}.webhooks.event IS 'What it said, while the ledger does not know its request yet.';
`
