import { setTimeout as sleep } from 'node:timers/promises'
import type { DeferredKey } from '../delivery/ports.js'
import type { Parts } from './engine.js'

const retryMs = 1_000
/** Of a process that is told to end. */
const lastTries = 10

/**
 * Has rows sent once more, whatever the ledger says of them: what was under way when another process took over may have
 * arrived, or have been recorded, after what that one sent.
 */
export async function sendAgain(
  { ledger, signal, logger }: Pick<Parts, 'ledger' | 'signal' | 'logger'>,
  deferred: readonly DeferredKey[],
): Promise<void> {
  if (deferred.length === 0) return
  for (let tries = 0; ; ) {
    try {
      return await ledger.record({ receipts: [], parked: [], unparked: [], deferred })
    } catch (error) {
      if (signal.aborted) tries += 1
      if (tries >= lastTries) {
        const hint =
          'SafetyKit may have an older state of them. Once the ledger is back: safetykit-sync backfill --force'
        logger.error('The keys of what was under way could not be kept', { keys: deferred.length, hint, error })
        return
      }
      logger.warn('The ledger could not be written, trying again', { error })
      await sleep(retryMs, undefined, { ref: false })
    }
  }
}
