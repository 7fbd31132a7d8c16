import type { Counts } from './cursor.js'
import type { BackfilledTable, BackfillPhase, BackfillProgress, BackfillRequest } from './report.js'

/** Between two calls of `onProgress`. */
const everyMs = 250

/** Counts what becomes of a table, and tells of it. */
export class Tally {
  readonly #source: string
  readonly #estimatedRows: number | null
  readonly #onProgress: BackfillRequest['onProgress']
  #phase: BackfillPhase = 'waiting'
  #waiting = 0
  #counts: Counts = { rows: 0, inStep: 0, refused: 0, imported: 0, imports: 0, queued: 0 }
  #lastMs = Number.NEGATIVE_INFINITY

  constructor(options: {
    readonly source: string
    readonly estimatedRows: number | null
    readonly onProgress: BackfillRequest['onProgress']
  }) {
    this.#source = options.source
    this.#estimatedRows = options.estimatedRows
    this.#onProgress = options.onProgress
  }

  /** An attempt begins with these. */
  begin(counts: Counts): void {
    this.#counts = counts
    this.enter('scanning')
  }

  /** What the walk has seen so far. */
  get walked(): Pick<Counts, 'rows' | 'inStep' | 'refused'> {
    const { rows, inStep, refused } = this.#counts
    return { rows, inStep, refused }
  }

  get table(): BackfilledTable {
    return { source: this.#source, ...this.#counts }
  }

  scanned(more: Pick<Counts, 'rows' | 'inStep' | 'refused'>): void {
    const { rows, inStep, refused, ...others } = this.#counts
    this.#set({ rows: rows + more.rows, inStep: inStep + more.inStep, refused: refused + more.refused, ...others })
  }

  /** As they stand in the journal. */
  sent({ imported, imports, queued }: Counts): void {
    this.#set({ ...this.#counts, imported, imports, queued })
  }

  enter(phase: BackfillPhase): void {
    this.#phase = phase
    this.#tell({ now: true })
  }

  waits(keys: number): void {
    this.#waiting = keys
    this.#tell({ now: false })
  }

  #set(counts: Counts): void {
    this.#counts = counts
    this.#tell({ now: false })
  }

  #tell({ now }: { readonly now: boolean }): void {
    if (this.#onProgress === undefined) return
    const nowMs = performance.now()
    if (!now && nowMs < this.#lastMs + everyMs) return
    this.#lastMs = nowMs
    const progress: BackfillProgress = {
      ...this.table,
      phase: this.#phase,
      estimatedRows: this.#estimatedRows,
      waiting: this.#waiting,
    }
    this.#onProgress(progress)
  }
}
