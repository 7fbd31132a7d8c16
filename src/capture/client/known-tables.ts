import { SyncError } from '../../errors.js'
import { Planner } from './plan.js'
import type { PrismaInternals } from './prisma-client.js'
import type { ClientTables } from './tables.js'

/** A write waits so long for the first answer, and no longer. */
const patienceMs = 2_000
/** Between two attempts. */
const againMs = 1_000

export interface KnownTablesOptions {
  readonly parent: PrismaInternals
  readonly tables: () => Promise<ClientTables>
  /** Writes fail while the tables cannot be read, rather than go uncaptured. */
  readonly strict: boolean
  /** Writes go uncaptured, for this reason. */
  readonly onMissed: (error: Error) => void
  /** The tables are known now, and writes went uncaptured before: all mapped tables are to be marked. */
  readonly mark: (sources: readonly string[]) => Promise<void>
}

/**
 * What it takes to capture a write, read once. Where that fails (no settings, no side tables, the database of the settings
 * is away), the application's writes go on without being captured, and the tables are marked as soon as it works. What was
 * missed is known to this process alone: one that ends before leaves a gap.
 */
export class KnownTables {
  readonly #options: KnownTablesOptions
  #planner: Planner | undefined
  #loading: Promise<Planner | null> | null = null
  #notBeforeMs = 0
  /** A write has waited for what is being loaded now: no other one does. */
  #outOfPatience = false
  #missed = false
  /** It looks again soon. */
  #looksAgain = false
  #marking = false

  constructor(options: KnownTablesOptions) {
    this.#options = options
  }

  /** `undefined` until the tables are known. */
  get planner(): Planner | undefined {
    if (this.#missed && !this.#marking && this.#planner !== undefined) void this.#mark(this.#planner)
    return this.#planner
  }

  /** The next write asks for them anew. */
  forget(): void {
    this.#planner = undefined
  }

  /** The same, asked for; `null` where the write has to go uncaptured. */
  async get(): Promise<Planner | null> {
    if (this.#planner !== undefined) return this.planner ?? null
    const planner = await this.#soon()
    if (planner === null) this.miss()
    return planner
  }

  /** Something was written, or committed, that was not captured: what is marked until now may not cover it. */
  miss(): void {
    this.#missed = true
    // Without a write to bring it on: the last one may have been missed.
    if (this.#looksAgain) return
    this.#looksAgain = true
    setTimeout(() => {
      this.#looksAgain = false
      void this.#catchUp()
    }, againMs).unref()
  }

  async #catchUp(): Promise<void> {
    if (this.#planner === undefined) await this.#loadOnce().catch(() => {})
    if (this.#missed && !this.#marking && this.#planner !== undefined) await this.#mark(this.#planner)
    if (this.#missed) this.miss()
  }

  #soon(): Promise<Planner | null> {
    if (this.#loading === null && performance.now() < this.#notBeforeMs) return Promise.resolve(null)
    if (this.#loading !== null && this.#outOfPatience) return Promise.resolve(null)
    const loading = this.#loadOnce()
    if (this.#options.strict) return loading
    return withPatience(loading, () => {
      this.#outOfPatience = true
      const hint = 'Writes go on; what they change is found by scanning the mapped tables once these can be read.'
      const message = `The mapped tables could not be read within ${patienceMs} ms`
      this.#options.onMissed(new SyncError('DATABASE_UNREACHABLE', message, { hint, retryable: true }))
    })
  }

  #loadOnce(): Promise<Planner | null> {
    this.#loading ??= this.#load().finally(() => {
      this.#loading = null
      this.#outOfPatience = false
    })
    return this.#loading
  }

  async #load(): Promise<Planner | null> {
    const { parent, tables, strict, onMissed } = this.#options
    try {
      const known = await tables()
      const planner = new Planner(parent, known)
      if (this.#missed) await this.#mark(planner)
      this.#planner = planner
      return planner
    } catch (thrown) {
      if (strict) throw thrown
      this.#notBeforeMs = performance.now() + againMs
      onMissed(thrown instanceof Error ? thrown : new SyncError('INTERNAL', String(thrown)))
      return null
    }
  }

  /** Before it counts as known: whoever writes from then on is captured, and whoever wrote before is in the marks. */
  async #mark(planner: Planner): Promise<void> {
    this.#marking = true
    this.#missed = false
    try {
      await this.#options.mark(planner.sources)
    } catch {
      this.miss()
    } finally {
      this.#marking = false
    }
  }
}

async function withPatience(loading: Promise<Planner | null>, onOver: () => void): Promise<Planner | null> {
  let timer: NodeJS.Timeout | undefined
  const patience = new Promise<null>((resolve) => {
    timer = setTimeout(() => {
      onOver()
      resolve(null)
    }, patienceMs)
  })
  try {
    return await Promise.race([loading, patience])
  } finally {
    clearTimeout(timer)
  }
}
