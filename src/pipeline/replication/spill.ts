import type { Pool } from 'pg'
import { inspectSlot } from '../../capture/replication/slot.js'
import type { SpillSettings } from '../../config/resolved.js'
import type { Dispatcher } from '../../delivery/dispatch.js'
import type { Arrival, LedgerPort, Origin, SpillPort } from '../../delivery/ports.js'
import type { Logger } from '../../logger.js'
import { withClient } from '../migrate.js'
import { SpilledKeys } from './spilled-keys.js'

/** Between two looks at the slot. */
const slotLookMs = 10_000
/** So long nothing may fail before changes are delivered as they come again. */
const maxCalmMs = 5_000

interface SpillOptions {
  readonly settings: SpillSettings
  readonly slot: string
  readonly db: Pool
  readonly ledger: LedgerPort
  /** Changes of the stream that are not settled. */
  readonly unsettled: () => number
  /** See `SpillPort`. */
  readonly doubtKeys: () => Promise<void>
  /** Called after each change of {@link Spill.bytes}. */
  readonly onBytes: () => void
  /** Told of each begin and end: why changes are kept, in a sentence; `null` where all are delivered. */
  readonly onState: (trouble: string | null) => void
  readonly logger: Logger
}

/** A spill that goes on. */
interface Begun {
  readonly atMs: number
  /** Keys that had been kept before. */
  readonly keys: number
}

/**
 * No outage fills the database's disk: what cannot be delivered for long is kept as keys in `dirty`, each one tiny and a
 * row's many changes in one, so that the slot is confirmed all the same. The keys are worked as always, and so they are
 * what finds that the API is back. Reasons in docs/decisions/spill-to-dirty.md.
 */
export class Spill implements SpillPort {
  readonly #options: SpillOptions
  readonly #keys: SpilledKeys
  readonly #timer: NodeJS.Timeout
  /** Namespaces to which nothing gets through. */
  readonly #stuck = new Map<string, Begun>()
  /** The slot holds back too much, for whatever reason. */
  #lagging: Begun | null = null
  #dispatcher: Dispatcher | null = null
  #handedOver = 0
  #slotLookedAtMs: number
  #looking = false

  constructor(options: SpillOptions) {
    const { ledger, doubtKeys, onBytes, logger, settings } = options
    this.#options = options
    this.#keys = new SpilledKeys({ ledger, doubtKeys, onBytes, logger })
    this.#slotLookedAtMs = performance.now()
    this.#timer = setInterval(() => void this.#look(), Math.min(1_000, Math.ceil(settings.afterMs / 4))).unref()
  }

  /** The memory of what is not written yet, about. */
  get bytes(): number {
    return this.#keys.bytes
  }

  /** Keys that were put into `dirty` because they could not be delivered. */
  get keys(): number {
    return this.#keys.written + this.#handedOver
  }

  /** From here on it looks. @param dispatcher the one that this was given to. */
  watch(dispatcher: Dispatcher): void {
    this.#dispatcher = dispatcher
  }

  /** Takes a change of the WAL. */
  arrive(arrival: Arrival): void {
    const dispatcher = this.#dispatcher
    if (dispatcher === null) return
    const { origin, id, replayed } = arrival
    // What is still on its way here becomes a key first, with force where the API may have it: once that was worked, there is
    // no doubt any more, and what comes after it is sent only where it differs.
    if (!this.keeps(origin) || dispatcher.holdsWal(origin, id)) {
      dispatcher.arrive(arrival)
      return
    }
    if (replayed) dispatcher.doubt(origin, id)
    this.#keys.add(arrival)
    dispatcher.renew(origin, id)
  }

  keeps({ namespace, every }: Origin): boolean {
    return this.#lagging !== null || (every !== true && this.#stuck.has(namespace))
  }

  kept(): void {
    this.#handedOver += 1
  }

  doubtKeys(): Promise<void> {
    return this.#options.doubtKeys()
  }

  /** Writes what waits, and takes nothing more. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#keys.stop()
    // The state is the process'; whoever reads the slot next, and that may be this one again, begins anew.
    this.#options.onState(null)
  }

  abandon(): void {
    this.#keys.abandon()
  }

  async #look(): Promise<void> {
    if (this.#dispatcher === null || this.#looking) return
    this.#looking = true
    this.#lookAtLanes(this.#dispatcher)
    const nowMs = performance.now()
    if (nowMs - this.#slotLookedAtMs >= slotLookMs) {
      this.#slotLookedAtMs = nowMs
      await this.#lookAtSlot(this.#dispatcher).catch((error: unknown) => {
        this.#options.logger.debug('The slot could not be looked at, trying again', { error })
      })
    }
    this.#looking = false
  }

  #lookAtLanes(dispatcher: Dispatcher): void {
    const { settings, logger } = this.#options
    const nowMs = performance.now()
    const calmMs = Math.min(maxCalmMs, settings.afterMs)
    for (const lane of dispatcher.lanes) {
      const { namespace, stuckSinceMs } = lane
      const begun = this.#stuck.get(namespace)
      if (begun !== undefined) {
        if (!lane.isCalm({ sinceMs: begun.atMs, calmMs, nowMs })) continue
        this.#stuck.delete(namespace)
        logger.info('SafetyKit takes changes again', { namespace, ...this.#sum(begun) })
        this.#tell()
      } else if (stuckSinceMs !== null && nowMs - stuckSinceMs >= settings.afterMs && lane.holdsWal()) {
        this.#stuck.set(namespace, this.#begin())
        const waitedMs = Math.round(nowMs - stuckSinceMs)
        logger.warn('SafetyKit takes no changes: their keys are kept in "dirty"', { namespace, waitedMs })
        this.#tell()
        dispatcher.handOver()
      }
    }
  }

  async #lookAtSlot(dispatcher: Dispatcher): Promise<void> {
    const { db, slot, settings, unsettled, logger } = this.#options
    const state = await withClient(db, (client) => inspectSlot(client, slot))
    if (state === null || state.lagBytes === null) return
    const { lagBytes, safeWalSizeBytes } = state
    const boundBytes = Math.min(
      settings.lagBytes,
      safeWalSizeBytes === null ? Number.POSITIVE_INFINITY : safeWalSizeBytes / 2,
    )
    if (this.#lagging !== null) {
      if (lagBytes > boundBytes / 2 && unsettled() > 0) return
      logger.info('The slot is confirmed again as changes are delivered', {
        slot,
        lagBytes,
        ...this.#sum(this.#lagging),
      })
      this.#lagging = null
      this.#tell()
    } else if (lagBytes > boundBytes && unsettled() > 0) {
      this.#lagging = this.#begin()
      const hint = 'Versions between are left out, also where a mapping says deliver: "every".'
      const facts = { slot, lagBytes, boundBytes: Math.round(boundBytes), hint }
      logger.warn('The slot holds back too much WAL: the keys of changes are kept in "dirty"', facts)
      this.#tell()
      dispatcher.handOver()
    }
  }

  #begin(): Begun {
    return { atMs: performance.now(), keys: this.keys }
  }

  #sum({ atMs, keys }: Begun): { readonly keys: number; readonly seconds: number } {
    return { keys: this.keys - keys, seconds: Math.round((performance.now() - atMs) / 1_000) }
  }

  #tell(): void {
    const namespaces = [...this.#stuck.keys()]
    const kept = 'the keys of what changes are kept in "dirty"'
    const trouble =
      this.#lagging !== null
        ? `The slot held back too much WAL; ${kept}`
        : namespaces.length > 0
          ? `SafetyKit takes no changes for ${namespaces.join(', ')}; ${kept}`
          : null
    this.#options.onState(trouble)
  }
}
