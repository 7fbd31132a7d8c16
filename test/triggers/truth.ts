import type { TestDatabase } from '../support/postgres.js'
import type { Captured } from './rig.js'

type Row = Readonly<Record<string, string | null>>

export interface TruthTable {
  /** `schema.table`, all of whose rows are watched. */
  readonly table: string
  readonly key: readonly string[]
  /** The mapped columns. */
  readonly columns: readonly string[]
  readonly tombstone?: boolean
}

/** Row triggers of the plainest kind that write every change down, in order to know what should have been captured. */
export async function watch(db: TestDatabase, tables: readonly TruthTable[]): Promise<void> {
  await db.query(`CREATE SCHEMA truth;
    CREATE TABLE truth.changes (n bigserial, source text, old json, new json);
    CREATE FUNCTION truth.texts(r json) RETURNS json LANGUAGE sql AS
      $$ SELECT json_object_agg(key, value) FROM json_each_text(r) $$;
    CREATE FUNCTION truth.note() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog AS $$
      BEGIN
        INSERT INTO truth.changes (source, old, new) VALUES (TG_ARGV[0],
          CASE WHEN TG_OP <> 'INSERT' THEN truth.texts(to_json(OLD)) END,
          CASE WHEN TG_OP <> 'DELETE' THEN truth.texts(to_json(NEW)) END);
        RETURN NULL;
      END $$`)
  for (const { table } of tables) {
    await db.query(`CREATE TRIGGER zz_truth AFTER INSERT OR UPDATE OR DELETE ON ${table}
      FOR EACH ROW EXECUTE FUNCTION truth.note('${table}')`)
  }
}

/** What should have been captured, of everything that was written since. */
export async function expected(db: TestDatabase, tables: readonly TruthTable[]): Promise<Captured[]> {
  const { rows } = await db.query<{ source: string; old: Row | null; new: Row | null }>(
    'SELECT source, old, new FROM truth.changes ORDER BY n',
  )
  return rows.flatMap(({ source, old, new: now }): Captured[] => {
    const table = tables.find((one) => one.table === source)
    if (table === undefined) return []
    const keyOf = (row: Row): Row => Object.fromEntries(table.key.map((name) => [name, row[name] ?? null]))
    const keys: Row[] = []
    if (now !== null && (old === null || [...table.key, ...table.columns].some((name) => old[name] !== now[name]))) {
      keys.push(keyOf(now))
    }
    const moved = old !== null && (now === null || table.key.some((name) => old[name] !== now[name]))
    if (old !== null && moved && table.tombstone === true) keys.push(keyOf(old))
    return keys.map((key) => ({ source, key }))
  })
}

/** For comparing, whatever the order. */
export const sorted = (captured: readonly Captured[]): string[] =>
  captured
    .map(({ source, key }) => `${source} ${JSON.stringify(key === null ? null : Object.entries(key).sort())}`)
    .sort()
