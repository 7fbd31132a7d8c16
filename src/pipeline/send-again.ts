import { setTimeout as sleep } from 'node:timers/promises'
import type { DeferredKey } from '../delivery/ports.js'
import type { Parts } from './engine.js'

const retryMs = 1_000

/**
 * Has rows sent once more, whatever the ledger says of them: what was under way when another process took over may have
 * arrived, or have been recorded, after what that one sent.
 */
export async function sendAgain(
  { ledger, signal, logger }: Pick<Parts, 'ledger' | 'signal' | 'logger'>,
  deferred: readonly DeferredKey[],
): Promise<void> {
  if (deferred.length === 0) return
  do {
    try {
      return await ledger.record({ receipts: [], parked: [], unparked: [], deferred })
    } catch (error) {
      logger.warn('The ledger could not be written, trying again', { error })
      await sleep(retryMs, undefined, { signal }).catch(() => {})
    }
  } while (!signal.aborted)
}
