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

/** A mapped table and where its rows go. */
export interface Source {
  /** `schema.table`: `objects.source`, `dirty.source`. */
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
  readonly #byOid = new Map<number, Source>()
  readonly #byOrigin = new Map<Origin, { readonly source: string; readonly target: Target }>()
  #types: TypeCatalog
  #refreshing: Promise<void> | null = null

  private constructor(options: SourcesOptions, catalog: Catalog, bound: readonly BoundTable[]) {
    this.#options = options
    this.#types = catalog.types
    for (const table of bound)
      this.#set({ name: table.source, bound: table, targets: this.#targets(table), misfit: null })
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

  get(name: string): Source | undefined {
    return this.#byName.get(name)
  }

  /** By name, or else by OID: a table that was renamed is still the one that is mapped. */
  ofRelation(relation: { readonly oid: number; readonly schema: string; readonly name: string }): Source | undefined {
    return this.#byName.get(`${relation.schema}.${relation.name}`) ?? this.#byOid.get(relation.oid)
  }

  ofOrigin(origin: Origin): { readonly source: Source; readonly target: Target } | undefined {
    const found = this.#byOrigin.get(origin)
    const source = found === undefined ? undefined : this.#byName.get(found.source)
    return found === undefined || source === undefined ? undefined : { source, target: found.target }
  }

  /** Reads the catalogue again: after a migration, or to see whether a misfit has been mended. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null
    })
    return this.#refreshing
  }

  async #refresh(): Promise<void> {
    const { db, resolved, defaultSchema } = this.#options
    const catalog = await readCatalog(db, tableNames(resolved.mappings), { defaultSchema })
    this.#types = catalog.types
    for (const before of this.all) {
      const mappings = before.targets.map((target) => target.mapping)
      try {
        const [bound] = bindMappings(mappings, catalog, { capture: resolved.capture })
        if (bound === undefined) continue
        if (before.misfit !== null)
          this.#options.logger.info('The mapping fits its table again', { source: before.name })
        this.#set({ ...before, bound, misfit: null })
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        if (before.misfit?.message !== error.message) this.#tell(before.name, error)
        this.#set({ ...before, misfit: error })
      }
    }
  }

  #tell(source: string, misfit: ConfigError): void {
    const { mistakes } = misfit
    const hint = 'Change the mapping and restart, or undo the migration. Changed rows wait in "dirty", nothing is lost.'
    this.#options.logger.error('The mapping does not fit its table any more', { source, mistakes, hint })
  }

  #set(source: Source): void {
    this.#byName.set(source.name, source)
    this.#byOid.set(source.bound.table.oid, source)
    for (const target of source.targets) this.#byOrigin.set(target.origin, { source: source.name, target })
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
      },
      idOf: (key) => idFromKey(mapping, primaryKey, key),
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
