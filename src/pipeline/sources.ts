import type { RowKey } from '../capture/change.js'
import type { Mapping, ResolvedSync } from '../config/resolved.js'
import type { Origin } from '../delivery/ports.js'
import { ConfigError } from '../errors.js'
import type { Logger } from '../logger.js'
import { type BoundTable, bindMappings } from '../mapping/bind.js'
import { type Catalog, readCatalog } from '../mapping/catalog.js'
import { idFromKey } from '../mapping/mapping-plan.js'
import { tombstone } from '../mapping/object.js'
import type { Queryable, TypeCatalog } from '../mapping/types.js'
import { keyAsBound } from './row-keys.js'

/** A mapped table and where its rows go. */
export interface Source {
  /** `schema.table` as the mapping has it; the table itself may have been renamed since. */
  readonly name: string
  /** How it was bound when the mapping last fitted. */
  readonly bound: BoundTable
  readonly targets: readonly Target[]
  /** Why the mapping does not fit the table as it is now; its keys wait in `dirty` meanwhile. */
  readonly misfit: ConfigError | null
}

/** One mapping of a source. */
export interface Target {
  readonly mapping: Mapping
  readonly origin: Origin
  /** `undefined` where a column of the id is not in the key. */
  idOf(key: RowKey): string | undefined
}

/** Which target of which source. */
interface Place {
  readonly source: string
  readonly index: number
}

const tablesByOid = `SELECT c.oid::text AS oid, n.nspname AS schema, c.relname AS name
  FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.oid = ANY ($1::oid[])`

interface SourcesOptions {
  readonly db: Queryable
  readonly resolved: ResolvedSync
  readonly defaultSchema: string
  readonly logger: Logger
}

/** The mapped tables as the catalogue has them, and as it has them after a migration. */
export class Sources {
  readonly #options: SourcesOptions
  readonly #byName = new Map<string, Source>()
  readonly #nameByOid = new Map<number, string>()
  /** Also of origins that were replaced by a refresh, for as long as an object on its way holds them. */
  readonly #places = new WeakMap<Origin, Place>()
  #types: TypeCatalog
  #refreshing: Promise<void> | null = null

  private constructor(options: SourcesOptions, catalog: Catalog, bound: readonly BoundTable[]) {
    this.#options = options
    this.#types = catalog.types
    for (const table of bound) this.#bind(table.source, table)
  }

  /** @throws ConfigError where the mapping does not fit the database, with all that does not. */
  static async open(options: SourcesOptions): Promise<Sources> {
    const { resolved, defaultSchema, db } = options
    const catalog = await readCatalog(db, tableNames(resolved.mappings), { defaultSchema })
    return new Sources(options, catalog, bindMappings(resolved.mappings, catalog, { capture: resolved.capture }))
  }

  get all(): readonly Source[] {
    return [...this.#byName.values()]
  }

  get types(): TypeCatalog {
    return this.#types
  }

  /** By the name in the mapping, or by the one that the table was given since. */
  get(name: string): Source | undefined {
    return this.#byName.get(name) ?? this.all.find((source) => source.bound.source === name)
  }

  /** By OID: a table that was renamed is still the one that is mapped. By name where it was made anew. */
  ofRelation(relation: { readonly oid: number; readonly schema: string; readonly name: string }): Source | undefined {
    const name = this.#nameByOid.get(relation.oid) ?? `${relation.schema}.${relation.name}`
    return this.#byName.get(name)
  }

  ofOrigin(origin: Origin): { readonly source: Source; readonly target: Target } | undefined {
    const place = this.#places.get(origin)
    const source = place === undefined ? undefined : this.#byName.get(place.source)
    const target = place === undefined ? undefined : source?.targets[place.index]
    return source === undefined || target === undefined ? undefined : { source, target }
  }

  /** Reads the catalogue again: after a migration, or to see whether a misfit has been mended. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null
    })
    return this.#refreshing
  }

  async #refresh(): Promise<void> {
    const { db, resolved, defaultSchema, logger } = this.#options
    const tables = await this.#tablesByOid()
    const names = [...tableNames(resolved.mappings), ...tables.values()]
    const catalog = await readCatalog(db, names, { defaultSchema })
    this.#types = catalog.types
    for (const before of this.all) {
      const table = tables.get(before.bound.table.oid)
      const mappings = before.targets.map(({ mapping }) => (table === undefined ? mapping : { ...mapping, table }))
      try {
        const [bound] = bindMappings(mappings, catalog, { capture: resolved.capture })
        if (bound === undefined) continue
        if (before.misfit !== null) logger.info('The mapping fits its table again', { source: before.name })
        if (bound.source !== before.bound.source) {
          const hint = `Change the mapping to "${bound.source}" before the next start. Its rows arrive as before.`
          logger.warn('A mapped table was renamed', { source: before.name, table: bound.source, hint })
        }
        this.#bind(before.name, bound)
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        if (before.misfit?.message !== error.message) this.#tell(before.name, error)
        this.#byName.set(before.name, { ...before, misfit: error })
      }
    }
  }

  /** What the tables are called now. */
  async #tablesByOid(): Promise<ReadonlyMap<number, Mapping['table']>> {
    const oids = this.all.map((source) => source.bound.table.oid)
    const { rows } = await this.#options.db.query({ text: tablesByOid, values: [oids] })
    const tables = rows as readonly { readonly oid: string; readonly schema: string; readonly name: string }[]
    return new Map(tables.map(({ oid, schema, name }) => [Number(oid), { schema, name }]))
  }

  #tell(source: string, misfit: ConfigError): void {
    const { mistakes } = misfit
    const hint = 'Change the mapping and restart, or undo the migration. Changed rows wait in "dirty", nothing is lost.'
    this.#options.logger.error('The mapping does not fit its table any more', { source, mistakes, hint })
  }

  #bind(name: string, bound: BoundTable): void {
    const targets = this.#targets(bound)
    this.#byName.set(name, { name, bound, targets, misfit: null })
    this.#nameByOid.set(bound.table.oid, name)
    for (const [index, { origin }] of targets.entries()) this.#places.set(origin, { source: name, index })
  }

  #targets(bound: BoundTable): Target[] {
    const primaryKey = bound.table.primaryKey.map((column) => column.name)
    return bound.mappings.map((mapping) => ({
      mapping,
      origin: {
        namespace: mapping.namespace,
        source: bound.source,
        keyOf: keyOfId(mapping, bound.keyColumns),
        tombstone: mapping.onDelete === 'tombstone' ? tombstone : null,
        every: mapping.deliver === 'every',
      },
      idOf: (key) => idFromKey(mapping, primaryKey, keyAsBound(bound, key)),
    }))
  }
}

/** Where the id is the whole key, no key has to be carried along with it. */
function keyOfId(mapping: Mapping, keyColumns: readonly string[]): Origin['keyOf'] {
  const [only, ...more] = keyColumns
  if (only === undefined || more.length > 0 || mapping.id.prefix !== '') return null
  return (id) => ({ [only]: id })
}

const tableNames = (mappings: readonly Mapping[]): readonly Mapping['table'][] =>
  mappings.map((mapping) => mapping.table)
