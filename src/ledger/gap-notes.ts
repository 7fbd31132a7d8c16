import pg from 'pg'
import { type Queryable, textArray } from './postgres.js'

/** In `horizons`: rows of it are told apart by their names. */
const prefix = 'gap '

/**
 * Notes of tables of which changes may have been missed, from before anything is mended until all of it is. Whoever mends it
 * and dies meanwhile leaves them, and the next one begins again: that the table is captured by then does not show it.
 */
export class GapNotes {
  readonly #ledger: Queryable
  readonly #horizons: string
  /** So that nobody removes what another one has written since. */
  readonly #writtenMs = Date.now()

  /** @param options.schema the schema's name, unquoted. */
  constructor(options: { readonly ledger: Queryable; readonly schema: string }) {
    this.#ledger = options.ledger
    this.#horizons = `${pg.escapeIdentifier(options.schema)}.horizons`
  }

  /** The sources that have one. */
  async read(): Promise<readonly string[]> {
    const { rows } = await this.#ledger.query(
      `SELECT name FROM ${this.#horizons} WHERE pg_catalog.starts_with(name, $1)`,
      [prefix],
    )
    return rows.map(({ name }) => String(name).slice(prefix.length))
  }

  async write(sources: readonly string[]): Promise<void> {
    await this.#ledger.query(
      `INSERT INTO ${this.#horizons} (name, through, updated_at) SELECT name, $2, now() FROM unnest($1::text[]) AS name
       ON CONFLICT (name) DO UPDATE SET through = excluded.through, updated_at = excluded.updated_at`,
      [named(sources), this.#writtenMs],
    )
  }

  async remove(sources: readonly string[]): Promise<void> {
    await this.#ledger.query(`DELETE FROM ${this.#horizons} WHERE name = ANY ($1::text[]) AND through = $2`, [
      named(sources),
      this.#writtenMs,
    ])
  }
}

const named = (sources: readonly string[]): string => textArray(sources.map((source) => prefix + source))
