import pg from 'pg'
import { bounded } from '../bounded-query.js'
import type { Queryable } from './postgres.js'

/** A holder that has not renewed its leases for so long has lost them. */
export const leaseMs = 7_000

/** The parts of the key space of `dirty`. More of them share the work more evenly, and each costs a row. */
export const partitions = 32

export interface Claim {
  readonly holder: string
  /** What to claim, the most wanted first. */
  readonly names: readonly string[]
  /** How many of the partitions this worker has already. */
  readonly held: number
  /** How far in `dirty` it is going to send. */
  readonly through: bigint
}

/** A lease that was claimed. */
export interface Claimed {
  readonly name: string
  /** How far in `dirty` an earlier holder may have sent without recording it; 0 where none has. */
  readonly doubted: bigint
}

/**
 * The leases, one statement each: no session state, so that a connection pooler may stand in between. Time is the
 * database's, the same for all.
 */
export class LeaseStore {
  readonly #pool: Queryable
  readonly #timeoutMs: number
  readonly #claim: string
  readonly #acquire: string
  readonly #renew: string
  readonly #hold: string
  readonly #advance: string
  readonly #release: string
  readonly #leave: string

  /**
   * @param options.schema the schema's name, unquoted.
   * @param options.leaseMs default: {@link leaseMs}. An answer that takes longer is given up, with its connection.
   */
  constructor(options: { readonly pool: Queryable; readonly schema: string; readonly leaseMs?: number }) {
    this.#timeoutMs = options.leaseMs ?? leaseMs
    const table = `${pg.escapeIdentifier(options.schema)}.leases`
    const until = `clock_timestamp() + interval '${options.leaseMs ?? leaseMs} ms'`
    const worker = `INSERT INTO ${table} (name, holder, expires_at) VALUES ('worker ' || $1, $1, ${until})
      ON CONFLICT (name) DO UPDATE SET expires_at = excluded.expires_at`
    const others = `SELECT count(*)::integer FROM ${table}
      WHERE name LIKE 'worker %' AND holder <> $1 AND expires_at > clock_timestamp()`
    // Its own: of a claim or a release whose answer was lost. It asks for none that it knows to have.
    const free = 'l.holder IS NULL OR l.holder = $1 OR l.expires_at < clock_timestamp()'
    const take = `ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at,
      doubted = greatest(l.doubted, l.through), through = excluded.through
      WHERE ${free}
      RETURNING l.name, l.doubted::text`
    this.#pool = options.pool
    this.#claim = `
      WITH worker AS (${worker}), others AS (${others}), claimed AS (
        INSERT INTO ${table} AS l (name, holder, expires_at, through)
        SELECT name, $1, ${until}, $4::bigint FROM (
          SELECT wanted.name FROM unnest($2::text[]) WITH ORDINALITY AS wanted (name, nr)
          LEFT JOIN ${table} AS l ON l.name = wanted.name
          WHERE ${free}
          ORDER BY wanted.nr
          LIMIT greatest(0, ceil(${partitions} / ((TABLE others) + 1.0)) - $3::integer)) AS share
        ORDER BY name
        ${take})
      SELECT name, doubted, (TABLE others) AS others FROM claimed
      UNION ALL SELECT NULL, NULL, (TABLE others)`
    this.#acquire = `INSERT INTO ${table} AS l (name, holder, expires_at) VALUES ($2, $1, ${until}) ${take}`
    this.#renew = `
      WITH worker AS (${worker}), gone AS (
        DELETE FROM ${table} WHERE name LIKE 'worker %' AND expires_at < clock_timestamp() - interval '1 minute'
      ), renewed AS (
        UPDATE ${table} SET expires_at = ${until} WHERE holder = $1 AND name NOT LIKE 'worker %' RETURNING name
      )
      SELECT name, (${others}) AS others FROM renewed UNION ALL SELECT NULL, (${others})`
    this.#hold = `UPDATE ${table} SET expires_at = ${until} WHERE holder = $1 AND name = $2 RETURNING name`
    this.#advance = `UPDATE ${table} SET through = $2 WHERE holder = $1 AND name LIKE 'dirty %'`
    // A doubt stays as long as any key that it may be about: also of a table that does not fit its mapping now.
    const doubted = `l.doubted > 0 AND EXISTS (
      SELECT FROM ${pg.escapeIdentifier(options.schema)}.dirty AS d WHERE d.key IS NOT NULL AND d.seq <= l.doubted)`
    this.#release = `UPDATE ${table} AS l SET holder = NULL, expires_at = NULL, through = 0,
        doubted = CASE WHEN ${doubted} THEN l.doubted ELSE 0 END
      WHERE l.name = ANY ($2::text[]) AND l.holder = $1`
    this.#leave = `DELETE FROM ${table} WHERE name = 'worker ' || $1`
  }

  /** Says that this worker has something to do, and takes of what is free up to its share among all that have. */
  async claim({
    holder,
    names,
    held,
    through,
  }: Claim): Promise<{ readonly claimed: Claimed[]; readonly others: number }> {
    const { rows } = await this.#query(this.#claim, [holder, names, held, String(through)])
    return { claimed: rows.flatMap(claimedRow), others: Number(rows[0]?.others ?? 0) }
  }

  /** Takes one lease by its name; `null` where someone else has it. */
  async acquire(holder: string, name: string): Promise<Claimed | null> {
    const { rows } = await this.#query(this.#acquire, [holder, name])
    return rows.flatMap(claimedRow)[0] ?? null
  }

  /** Renews one lease, also where it has ended; `false` where someone else has had it since. */
  async hold(holder: string, name: string): Promise<boolean> {
    const { rows } = await this.#query(this.#hold, [holder, name])
    return rows.length > 0
  }

  /** Says that this worker is there. Returns the leases that it still has, and how many others have something to do. */
  async renew(holder: string): Promise<{ readonly names: ReadonlySet<string>; readonly others: number }> {
    const { rows } = await this.#query(this.#renew, [holder])
    const names = new Set(rows.flatMap(({ name }) => (name === null ? [] : [String(name)])))
    return { names, others: Number(rows[0]?.others ?? 0) }
  }

  /** Moves the mark of all partitions that this worker has, before anything beyond it is sent. */
  async advance(holder: string, through: bigint): Promise<void> {
    await this.#query(this.#advance, [holder, String(through)])
  }

  /** Gives leases back, all that was sent under them being recorded. */
  async release(holder: string, names: readonly string[]): Promise<void> {
    await this.#query(this.#release, [holder, names])
  }

  /** Says that this worker has nothing to do, so that the others share everything. */
  async leave(holder: string): Promise<void> {
    await this.#query(this.#leave, [holder])
  }

  #query(text: string, values: unknown[]): ReturnType<Queryable['query']> {
    return this.#pool.query(bounded({ text, values }, this.#timeoutMs))
  }
}

const claimedRow = ({ name, doubted }: Record<string, unknown>): Claimed[] =>
  name === null ? [] : [{ name: String(name), doubted: BigInt(String(doubted)) }]
