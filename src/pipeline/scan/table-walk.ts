import type { RowKey } from '../../capture/change.js'
import {
  type Chunk,
  type ChunkLimits,
  type ChunkReader,
  nextRows,
  OrderChanged,
  readChunk,
  type WalkPosition,
} from '../../capture/scan.js'
import { SyncError } from '../../errors.js'
import { compileTable, type TablePlan } from '../../mapping/mapper.js'
import type { Source, Sources, Target } from '../sources.js'
import { type Wanted, wantedOf } from './standing.js'

export interface TableWalkOptions {
  readonly db: ChunkReader
  readonly sources: Sources
  /** The table, by its name in the mapping. */
  readonly source: string
  /** Default: from the beginning. */
  readonly from?: WalkPosition | null
  /** Default: 1,000 rows and 8 Mi characters. */
  readonly limits?: ChunkLimits
}

/** A row, as its mappings see it. */
export interface WalkedRow {
  readonly key: RowKey
  /** One for each mapping that can tell the object's id. */
  readonly objects: readonly WalkedObject[]
}

export interface WalkedObject {
  readonly target: Target
  readonly id: string
  readonly wanted: Wanted
}

export interface WalkedChunk {
  readonly rows: readonly WalkedRow[]
  /** Where to go on; `null` where the table is empty. */
  readonly position: WalkPosition | null
  readonly last: boolean
  /** The table's key has changed on the way, and the walk began anew: its rows come a second time. */
  readonly restarted: boolean
}

export const defaultLimits: ChunkLimits = { rows: 1_000, size: 8 * 1024 * 1024 }

/** How many rows the first chunk has: what they weigh is not known yet. */
const firstRows = 100
const maxAttempts = 4

/** A walk over the rows of a mapped table in the order of its primary key, which survives the migrations of the table. */
export class TableWalk {
  readonly #options: TableWalkOptions
  readonly #limits: ChunkLimits
  #position: WalkPosition | null
  #rows: number
  #restarted = false
  #ended = false

  constructor(options: TableWalkOptions) {
    this.#options = options
    this.#limits = options.limits ?? defaultLimits
    this.#position = options.from ?? null
    this.#rows = Math.min(firstRows, this.#limits.rows)
  }

  /**
   * The next rows; `null` after the last.
   * @throws {SyncError} `MAPPING_UNFIT` where the mapping does not fit the table any more; `TABLE_UNFIT` where the table
   * changes faster than it can be read. The walk can go on where it was.
   */
  async next(): Promise<WalkedChunk | null> {
    if (this.#ended) return null
    const { db, sources } = this.#options
    for (let attempt = 1; ; attempt += 1) {
      const source = this.#source()
      try {
        const limits = { ...this.#limits, rows: this.#rows }
        const { rowTable, readColumns } = source.bound
        const chunk = await readChunk(db, rowTable, readColumns, { after: this.#position, limits })
        const plan = compileTable(source.bound, chunk.columns, sources.types)
        if (!plan.fits) throw new SyncError('TABLE_UNFIT', `The table ${source.name} changed`, { retryable: true })
        return this.#take(source, plan, chunk)
      } catch (error) {
        if (error instanceof OrderChanged) this.#beginAnew()
        else if (!isMoved(error) || attempt === maxAttempts) throw error
        // With today's types the position still cannot be read as a key: it is one of another table.
        else if (attempt === maxAttempts - 1) this.#beginAnew()
        await sources.refresh()
      }
    }
  }

  #source(): Source {
    const source = this.#options.sources.get(this.#options.source)
    if (source !== undefined && source.misfit === null) return source
    throw new SyncError('MAPPING_UNFIT', `The mapping of ${this.#options.source} does not fit its table`, {
      cause: source?.misfit ?? undefined,
      hint: source?.misfit?.message,
    })
  }

  #beginAnew(): void {
    this.#restarted ||= this.#position !== null
    this.#position = null
  }

  #take(source: Source, plan: TablePlan, chunk: Chunk): WalkedChunk {
    const { rows, position, last } = chunk
    const restarted = this.#restarted
    this.#position = position
    this.#ended = last
    this.#restarted = false
    if (rows.length > 0) this.#rows = nextRows({ size: chunk.size, rows: rows.length }, this.#limits)
    const mappings = plan.mappings.flatMap((mapping) => {
      const target = source.targets.find((candidate) => candidate.mapping === mapping.mapping)
      return target === undefined ? [] : [{ mapping, target }]
    })
    const walked = rows.map((cells) => ({
      key: plan.key(cells),
      objects: mappings.flatMap(({ mapping, target }): WalkedObject[] => {
        const mapped = mapping.map(cells)
        // Without an id it can neither be sent nor parked.
        if (mapped.id === undefined) return []
        return [{ target, id: mapped.id, wanted: wantedOf(mapped, target.origin.tombstone) }]
      }),
    }))
    return { rows: walked, position, last, restarted }
  }
}

const isMoved = (error: unknown): boolean =>
  error instanceof SyncError && error.code === 'TABLE_UNFIT' && error.retryable
