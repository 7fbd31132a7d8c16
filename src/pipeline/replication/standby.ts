import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import { inspectSlot } from '../../capture/replication/slot.js'
import type { Logger } from '../../logger.js'
import { withClient } from '../migrate.js'

/** Between two looks at a slot that another process reads from. */
const pollMs = 1_000

interface StandbyOptions {
  readonly db: Pool
  readonly slot: string
  /** Called with each look that finds another process. */
  readonly onBusy: () => void
  readonly signal: AbortSignal
  readonly logger: Logger
}

/**
 * Waits while another process reads from the slot. It is the one that sends; a standby does nothing, not even with dirty
 * keys, and reads what the other one has left behind only when it takes over.
 */
export async function untilSlotIsFree({ db, slot, onBusy, signal, logger }: StandbyOptions): Promise<void> {
  while (!signal.aborted) {
    try {
      const state = await withClient(db, (client) => inspectSlot(client, slot))
      if (state?.active !== true) return
      onBusy()
    } catch (error) {
      logger.warn('The slot could not be looked at, trying again', { slot, error })
    }
    await sleep(pollMs, undefined, { signal }).catch(() => {})
  }
}
