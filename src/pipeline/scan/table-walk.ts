import type { RowKey } from '../../capture/change.js'
import type { RowCells } from '../../capture/rows.js'
import {
  type ChunkColumn,
  type ChunkLimits,
  type ChunkReader,
  nextRows,
  OrderChanged,
  readChunk,
  type WalkPosition,
} from '../../capture/scan.js'
import { SyncError } from '../../errors.js'
import { compileTable } from '../../mapping/mapper.js'
import type { Mapped } from '../../mapping/mapping-plan.js'
import type { MappedObject } from '../../mapping/object.js'
import type { Source, Sources, Target } from '../sources.js'

export interface TableWalkOptions {
  readonly db: ChunkReader
  readonly sources: Sources
  /** The table, by its name in the mapping. */
  readonly source: string
  /** Default: from the beginning. */
  readonly from?: WalkPosition | null
  /** Default: 2,000 rows and 4 Mi characters. */
  readonly limits?: ChunkLimits
  /** SQL over the columns of the table, whose alias is `t`. Default: all rows. */
  readonly where?: string | undefined
  /**
   * `false`: the objects' `json` is the empty text. To keep it until the rows were compared is what costs the most after
   * its fingerprint. Default: `true`.
   */
  readonly contents?: boolean
}

/** What a mapping makes of a row whose object's id can be told. */
export type MappedWithId = Mapped & { readonly id: string }

/** One mapping's view of some rows: what it makes of each that has an id. Without one it can neither be sent nor parked. */
export interface WalkedTarget {
  readonly target: Target
  /** `rows[i]` is the row of `mapped[i]`, by its index in the chunk. */
  readonly rows: readonly number[]
  readonly mapped: readonly MappedWithId[]
}

export interface WalkedChunk {
  readonly rows: number
  keyOf(row: number): RowKey
  readonly targets: readonly WalkedTarget[]
  /** Where to go on; `null` where the table is empty. */
  readonly position: WalkPosition | null
  readonly last: boolean
  /** The table's key has changed on the way, and the walk began anew: its rows come a second time. */
  readonly restarted: boolean
}

export const defaultLimits: ChunkLimits = { rows: 2_000, size: 4 * 1024 * 1024 }

/** How many rows the first chunk has: what they weigh is not known yet. */
const firstRows = 200
const maxAttempts = 4

/**
 * A walk over the rows of a mapped table in the order of its primary key, which survives the migrations of the table. While
 * some rows are worked on, the next ones are read.
 */
export class TableWalk {
  readonly #options: TableWalkOptions
  readonly #limits: ChunkLimits
  #position: WalkPosition | null
  #rows: number
  #checkWhere: boolean
  #restarted = false
  #ended = false
  #ahead: Promise<WalkedChunk> | null = null

  constructor(options: TableWalkOptions) {
    this.#options = options
    this.#limits = options.limits ?? defaultLimits
    this.#position = options.from ?? null
    this.#rows = Math.min(firstRows, this.#limits.rows)
    this.#checkWhere = options.where !== undefined
  }

  /**
   * The next rows; `null` after the last.
   * @throws {SyncError} `ARGUMENT_INVALID` where Postgres refuses `where`; `MAPPING_UNFIT` where the mapping does not fit the
   * table any more; `TABLE_UNFIT` where the table changes faster than it can be read. The walk can go on where it was.
   */
  async next(): Promise<WalkedChunk | null> {
    if (this.#ended) return null
    const reading = this.#ahead ?? this.#read()
    this.#ahead = null
    const chunk = await reading
    if (chunk.last) this.#ended = true
    if (this.#ended) return chunk
    this.#ahead = this.#read()
    // It is told when it is asked for.
    this.#ahead.catch(() => {})
    return chunk
  }

  /** Resolves once nothing is read any more. */
  async close(): Promise<void> {
    this.#ended = true
    await this.#ahead?.catch(() => {})
    this.#ahead = null
  }

  async #read(): Promise<WalkedChunk> {
    const { db, sources, where, contents = true } = this.#options
    for (let attempt = 1; ; attempt += 1) {
      const source = this.#source()
      try {
        const { rowTable, readColumns } = source.bound
        const limits = { ...this.#limits, rows: this.#rows }
        const intake = new Intake(source, { sources, contents })
        const begin = (columns: readonly ChunkColumn[]): ((cells: RowCells) => void) => intake.begin(columns)
        const request = { after: this.#position, limits, where, checkWhere: this.#checkWhere, begin }
        const { rows, size, position, last } = await readChunk(db, rowTable, readColumns, request)
        const restarted = this.#restarted
        this.#position = position
        this.#checkWhere = false
        this.#restarted = false
        if (rows > 0) this.#rows = nextRows({ size, rows }, this.#limits)
        return { rows, keyOf: (row) => intake.keyOf(row), targets: intake.targets, position, last, restarted }
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
}

/** Maps the rows as they come in: their cells are let go at once. */
class Intake {
  targets: readonly WalkedTarget[] = []
  readonly #source: Source
  readonly #sources: Sources
  readonly #contents: boolean
  /** The cells of all rows' keys, one after another. */
  readonly #keys: (string | null)[] = []
  #rows = 0

  constructor(source: Source, { sources, contents }: { readonly sources: Sources; readonly contents: boolean }) {
    this.#source = source
    this.#sources = sources
    this.#contents = contents
  }

  begin(columns: readonly ChunkColumn[]): (cells: RowCells) => void {
    const { bound, targets, name } = this.#source
    const plan = compileTable(bound, columns, this.#sources.types)
    if (!plan.fits) throw new SyncError('TABLE_UNFIT', `The table ${name} changed`, { retryable: true })
    const keyAt = bound.keyColumns.map((column) => columns.findIndex((one) => one.name === column))
    const views = plan.mappings.flatMap((mapping) => {
      const target = targets.find((candidate) => candidate.mapping === mapping.mapping)
      return target === undefined ? [] : [{ mapping, target, rows: [] as number[], mapped: [] as MappedWithId[] }]
    })
    this.targets = views
    return (cells) => {
      for (const at of keyAt) this.#keys.push(cells[at] ?? null)
      for (const { mapping, rows, mapped } of views) {
        const one = mapping.map(cells)
        if (!hasId(one)) continue
        rows.push(this.#rows)
        mapped.push(this.#contents || one.kind !== 'object' ? one : withoutContent(one))
      }
      this.#rows += 1
    }
  }

  keyOf(row: number): RowKey {
    const { keyColumns } = this.#source.bound
    const from = row * keyColumns.length
    return Object.fromEntries(
      keyColumns.flatMap((name, at) => {
        const cell = this.#keys[from + at]
        return typeof cell === 'string' ? [[name, cell]] : []
      }),
    )
  }
}

const hasId = (mapped: Mapped): mapped is MappedWithId => mapped.id !== undefined

const withoutContent = ({ id, fingerprint }: MappedObject): MappedWithId => ({
  kind: 'object',
  id,
  json: '',
  fingerprint,
})

const isMoved = (error: unknown): boolean =>
  error instanceof SyncError && error.code === 'TABLE_UNFIT' && error.retryable
