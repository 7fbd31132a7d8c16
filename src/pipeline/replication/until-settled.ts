import { setTimeout as sleep } from 'node:timers/promises'
import type { Pool } from 'pg'
import { walPosition } from '../wal-position.js'
import type { WalChanges } from './wal-changes.js'

const pollMs = 100

interface Settling {
  readonly changes: Pick<WalChanges, 'settledThrough' | 'unsettledBefore'>
  readonly db: Pool
  /** Whether the slot is being made anew. */
  readonly isMending: () => boolean
}

/** Resolves when all is settled that was written before the call: a row that a scan reads must be newer than what is under way. */
export async function untilSettled({ changes, db, isMending }: Settling, signal: AbortSignal): Promise<void> {
  const position = await walPosition(db)
  // What is written before a new slot is there is not settled by anything: only a row that is read after that is new enough.
  const isSettled = (): boolean => !isMending() && changes.unsettledBefore === 0 && changes.settledThrough >= position
  while (!isSettled() && !signal.aborted) await sleep(pollMs, undefined, { signal, ref: false }).catch(() => {})
}
