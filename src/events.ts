import type { Evaluation } from './evaluation.js'
import type { Logger } from './logger.js'

/**
 * What a worker tells while it delivers. It tells of its own deliveries only: what another process delivers is in the
 * ledger (`status`, `requests`), and is not heard here.
 */
export interface SyncEvents {
  /** SafetyKit accepted a request, and the ledger holds it durably. One event a request. */
  readonly accepted: {
    readonly namespace: string
    readonly requestId: string
    readonly objectIds: readonly string[]
    readonly acceptedAt: Date
  }
  /** SafetyKit refused an object. It is tried again at `retryAt`; `null`: no more, it is dead. */
  readonly parked: {
    readonly namespace: string
    readonly objectId: string
    readonly state: 'parked' | 'dead'
    readonly error: { readonly code: string; readonly status: number | null; readonly message: string }
    readonly retryAt: Date | null
  }
  /** SafetyKit evaluated an object, and the ledger holds what it said. */
  readonly evaluated: Evaluation
  /** The worker could not start, or has ended by itself. It tries again where the error may mend itself. */
  readonly error: { readonly error: Error }
}

export type SyncEvent = keyof SyncEvents

/** Where the pipeline tells events. Ask `has` before an event is put together that costs something. */
export interface EventSink {
  has(event: SyncEvent): boolean
  emit<Event extends SyncEvent>(event: Event, facts: SyncEvents[Event]): void
}

type Listener = (facts: never) => void

/** The listeners of one client. */
export class Events implements EventSink {
  readonly #listeners = new Map<SyncEvent, Set<Listener>>()
  readonly #logger: Logger

  constructor(logger: Logger) {
    this.#logger = logger
  }

  /** @returns what takes the listener off again. */
  on<Event extends SyncEvent>(event: Event, listener: (facts: SyncEvents[Event]) => void): () => void {
    const listeners = this.#listeners.get(event) ?? new Set()
    this.#listeners.set(event, listeners)
    // Of its own, so that one function that listens twice can be taken off once.
    const own: Listener = (facts) => listener(facts)
    listeners.add(own)
    return () => {
      listeners.delete(own)
    }
  }

  has(event: SyncEvent): boolean {
    return (this.#listeners.get(event)?.size ?? 0) > 0
  }

  /** A listener that throws keeps neither the others from hearing nor the worker from working. */
  emit<Event extends SyncEvent>(event: Event, facts: SyncEvents[Event]): void {
    for (const listener of [...(this.#listeners.get(event) ?? [])]) {
      try {
        listener(facts as never)
      } catch (error) {
        this.#logger.error('A listener of an event threw', { event, error })
      }
    }
  }
}
