import { escapeIdentifier, escapeLiteral } from 'pg'
import { type MappedTable, mappedTables, sources } from './tables.js'

/**
 * The ground truth: row triggers of the test's own say which rows' mapped content changed, and in which transaction. What
 * the application marks in `dirty` is written down as well, since a worker takes the marks away.
 */
export const truthSql: string = `
  CREATE SCHEMA truth;
  CREATE TABLE truth.changes (xid xid8 DEFAULT pg_current_xact_id(), source text, op text, key jsonb);
  CREATE TABLE truth.marks (xid xid8 DEFAULT pg_current_xact_id(), source text, key jsonb);
  ${sources.map((source) => changesOf(source, mappedTables[source])).join('\n')}
  CREATE FUNCTION truth.mark() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
    IF current_setting('application_name') IN ('application', 'another program') THEN
      INSERT INTO truth.marks (source, key) VALUES (NEW.source, NEW.key);
    END IF;
    RETURN NULL;
  END $$;`

/** Once the side tables are there. */
export const marksSql = `
  CREATE TRIGGER truth AFTER INSERT ON safetykit.dirty FOR EACH ROW EXECUTE FUNCTION truth.mark();
  ALTER TABLE safetykit.dirty ENABLE ALWAYS TRIGGER truth;`

export const forgetSql = 'DELETE FROM truth.changes; DELETE FROM truth.marks;'

function changesOf(source: string, table: MappedTable): string {
  const columns = (names: readonly string[], row: string): string =>
    `ROW(${names.map((name) => `${row}.${escapeIdentifier(name)}`).join(', ')})`
  const key = (row: string): string =>
    `jsonb_build_object(${table.key.map((name) => `${escapeLiteral(name)}, ${row}.${escapeIdentifier(name)}::text`).join(', ')})`
  const record = (op: string, row: string): string =>
    `INSERT INTO truth.changes (source, op, key) VALUES (${escapeLiteral(source)}, '${op}', ${key(row)});`
  const gone = table.tombstones === undefined ? 'NULL;' : record('gone', 'OLD')
  const all = [...new Set([...table.key, ...Object.keys(table.columns)])]
  const name = `truth.${escapeIdentifier(table.name)}`
  return `
    CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN
      IF TG_OP = 'INSERT' THEN
        ${record('is', 'NEW')}
      ELSIF TG_OP = 'DELETE' THEN
        ${gone}
      ELSE
        IF ${columns(table.key, 'OLD')} IS DISTINCT FROM ${columns(table.key, 'NEW')} THEN
          ${gone}
        END IF;
        IF ${columns(all, 'OLD')} IS DISTINCT FROM ${columns(all, 'NEW')} THEN
          ${record('is', 'NEW')}
        END IF;
      END IF;
      RETURN NULL;
    END $$;
    CREATE TRIGGER truth AFTER INSERT OR UPDATE OR DELETE ON ${escapeIdentifier(table.schema)}.${escapeIdentifier(table.name)}
      FOR EACH ROW EXECUTE FUNCTION ${name}();`
}
