import { isDeepStrictEqual } from 'node:util'
import type { Mapping, ResolvedSync } from '../config/resolved.js'
import type { RuntimeModel } from '../config/source.js'
import { isSyncError, SyncError } from '../errors.js'
import { type BoundTable, bindMappings } from '../mapping/bind.js'
import { readCatalog } from '../mapping/catalog.js'
import type { Databases } from '../pipeline/databases.js'

/** A mapped model with its table as the catalogue has it. */
export interface BoundModel extends RuntimeModel {
  readonly name: string
  readonly bound: BoundTable
  /** The SQL type of a key column, with its modifier: `numeric(12,2)`. */
  readonly columnTypes: ReadonlyMap<string, string>
}

interface BoundModelsOptions {
  readonly databases: Databases
  readonly resolved: ResolvedSync
  readonly models: ReadonlyMap<string, RuntimeModel>
}

const columnTypesSql = `SELECT attname AS name, pg_catalog.format_type(atttypid, atttypmod) AS type
  FROM pg_catalog.pg_attribute WHERE attrelid = $1::oid AND attname = ANY ($2::text[])`

/** The mapped models; each is looked up in the catalogue once, and again where that failed. */
export class BoundModels {
  readonly #options: BoundModelsOptions
  readonly #bound = new Map<string, Promise<BoundModel>>()

  constructor(options: BoundModelsOptions) {
    this.#options = options
  }

  /** @throws {SyncError} `ARGUMENT_INVALID` where no mapped model has this name. */
  get(name: string): Promise<BoundModel> {
    const known = this.#bound.get(name)
    if (known !== undefined) return known
    const bound = this.#bind(name)
    this.#bound.set(name, bound)
    bound.catch(() => this.#bound.delete(name))
    return bound
  }

  /** Those of these tables that the mapping fits. */
  async ofSources(sources: ReadonlySet<string>): Promise<readonly BoundModel[]> {
    const names = [...this.#options.models.keys()].filter((name) => this.#mappings(name).length > 0)
    const bound = await Promise.all(
      names.map((name) =>
        this.get(name).catch((error: unknown) => {
          if (isSyncError(error)) return null
          throw error
        }),
      ),
    )
    return bound.filter((model) => model !== null && sources.has(model.bound.source)) as BoundModel[]
  }

  async #bind(name: string): Promise<BoundModel> {
    const model = this.#options.models.get(name)
    const mappings = this.#mappings(name)
    if (model === undefined || mappings.length === 0) {
      const mapped = [...this.#options.models.keys()].filter((one) => this.#mappings(one).length > 0)
      throw new SyncError('ARGUMENT_INVALID', `There is no mapped model ${JSON.stringify(name)}`, {
        hint: `Mapped are ${mapped.join(', ')}.`,
      })
    }
    const { databases, resolved } = this.#options
    const tables = mappings.map(({ table }) => table)
    const catalog = await readCatalog(databases.source, tables, { defaultSchema: databases.defaultSchema })
    const [bound] = bindMappings(mappings, catalog, { capture: resolved.capture })
    if (bound === undefined) throw new RangeError('a mapping was bound to no table')
    const { rows } = await databases.source.query(columnTypesSql, [bound.table.oid, bound.keyColumns])
    const columnTypes = new Map(rows.map((row) => [String(row.name), String(row.type)]))
    return { ...model, name, bound, columnTypes }
  }

  #mappings(name: string): readonly Mapping[] {
    const { models, resolved } = this.#options
    const table = models.get(name)?.table
    return resolved.mappings.filter((mapping) => isDeepStrictEqual(mapping.table, table))
  }
}
