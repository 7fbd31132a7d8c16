import type { Lsn } from '../lsn.js'

/**
 * What a process that delivers is doing:
 *
 * - `starting`: it has not looked at the database yet.
 * - `standby`: another process reads the slot; this one takes over when that one ends.
 * - `connecting`: it connects to the slot, for the first time or again.
 * - `streaming`: it reads the slot and delivers.
 * - `stalled`: it is connected, and the stream brings nothing, not even the heartbeat that was sent through it.
 * - `spilling`: it reads the slot, and keeps what cannot be delivered as keys in `dirty`.
 * - `working`: it delivers the keys in `dirty`; capture by triggers or by the client.
 * - `stopped`: it has ended in order.
 */
export type EnginePhase =
  | 'starting'
  | 'standby'
  | 'connecting'
  | 'streaming'
  | 'stalled'
  | 'spilling'
  | 'working'
  | 'stopped'

/** How an engine stands: what the heartbeat in the ledger, `/readyz` and `/metrics` tell. */
export interface EngineState {
  readonly phase: EnginePhase
  readonly since: Date
  /** Why it does not do its work in full: one sentence without values of rows. `null` where it does, and for a standby. */
  readonly trouble: string | null
  /** How far the slot is confirmed; `null` without replication. */
  readonly confirmedLsn: Lsn | null
  /** The last heartbeat that came back through the WAL; `null` where none did yet. */
  readonly heartbeat: { readonly seenAt: Date; readonly roundTripMs: number } | null
  readonly counts: {
    /** Connections to the slot that were lost. */
    readonly reconnects: number
    readonly stalls: number
    /** Slots that were lost and made anew. */
    readonly slotsRecreated: number
    /** Keys that were put into `dirty` because they could not be delivered. */
    readonly spilledKeys: number
  }
}
