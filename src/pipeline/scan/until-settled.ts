import { setTimeout as sleep } from 'node:timers/promises'
import type { ScanStore } from '../../ledger/scans.js'

/** Between two looks. */
const minPauseMs = 50
const maxPauseMs = 500

/**
 * Whoever has an older state of a row in flight has read it before now, so its key is in `dirty`: what the ledger says of
 * the row is its last word only once that key is gone.
 */
export async function untilSettled(
  scans: Pick<ScanStore, 'newestKey' | 'waits'>,
  source: string,
  signal: AbortSignal,
): Promise<void> {
  const newest = await scans.newestKey(source)
  if (newest !== null) await until(async () => !(await scans.waits(source, newest)), signal)
}

/** Looks again and again, less and less often. Throws the signal's reason once it is aborted. */
export async function until(check: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  for (let pauseMs = minPauseMs; !(await check()); pauseMs = Math.min(maxPauseMs, pauseMs * 2)) {
    await sleep(pauseMs, undefined, { signal, ref: false })
  }
}
