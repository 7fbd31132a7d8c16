import type { Lsn } from '../lsn.js'
import type { EnginePhase, EngineState } from './engine-state.js'

/** A phase, and why the work is not done in full in it. */
interface Stand {
  readonly phase: EnginePhase
  readonly trouble: string | null
}

/**
 * How an engine stands, as it goes on. What it is doing is one thing; that it cannot deliver, or that its stream brings
 * nothing, lies over that, and ends by itself.
 */
export class LiveState implements EngineState {
  readonly counts = { reconnects: 0, stalls: 0, slotsRecreated: 0, spilledKeys: 0 }
  heartbeat: { readonly seenAt: Date; readonly roundTripMs: number } | null = null
  #doing: Stand = { phase: 'starting', trouble: null }
  #stalled: string | null = null
  #spilling: string | null = null
  #ledger: string | null = null
  #told: EnginePhase = 'starting'
  #since = new Date()
  readonly #confirmed: () => Lsn | null
  readonly #listeners = new Set<() => void>()

  /** @param confirmed how far the slot is confirmed; `null` without replication. */
  constructor(confirmed: () => Lsn | null = () => null) {
    this.#confirmed = confirmed
  }

  get phase(): EnginePhase {
    const { phase } = this.#doing
    if (this.#stalled !== null && (phase === 'streaming' || phase === 'connecting')) return 'stalled'
    return this.#spilling !== null && phase === 'streaming' ? 'spilling' : phase
  }

  get since(): Date {
    return this.#since
  }

  get trouble(): string | null {
    const { phase, trouble } = this.#doing
    if (phase === 'stopped' || phase === 'standby') return trouble
    return trouble ?? this.#stalled ?? this.#spilling ?? this.#ledger
  }

  get confirmedLsn(): Lsn | null {
    return this.#confirmed()
  }

  enter(phase: EnginePhase, trouble: string | null = null): void {
    this.#doing = { phase, trouble }
    this.#changed()
  }

  /** The stream brings nothing, and why that is thought; `null`: it does again. */
  stalled(trouble: string | null): void {
    this.#stalled = trouble
    this.#changed()
  }

  /** What cannot be delivered is kept in `dirty`, and why; `null`: it is delivered again. */
  spilling(trouble: string | null): void {
    this.#spilling = trouble
    this.#changed()
  }

  /** The ledger cannot be written, and why; `null`: it can again. */
  ledgerAway(trouble: string | null): void {
    this.#ledger = trouble
  }

  /** Called at each change of phase. */
  onPhase(listener: () => void): void {
    this.#listeners.add(listener)
  }

  #changed(): void {
    const { phase } = this
    if (phase === this.#told) return
    this.#told = phase
    this.#since = new Date()
    for (const listener of this.#listeners) listener()
  }
}
