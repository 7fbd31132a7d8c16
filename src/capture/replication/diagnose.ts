import { Socket } from 'node:net'
import { Client, type ClientConfig } from 'pg'
import { SyncError } from '../../errors.js'
import { inspectSlot, slotProblem } from './slot.js'

export interface StreamIdentity {
  readonly connection: ClientConfig
  readonly slot: string
  readonly publication: string
}

export interface DiagnoseOptions {
  /** Whether the stream had begun when the error came. */
  readonly started: boolean
  /** Gives up asking. */
  readonly signal: AbortSignal
}

const QUERY_TIMEOUT_MS = 10_000

/**
 * Looks at the catalogue to say what a fatal error of the stream really was: 42704 is a missing slot or a missing
 * publication, 55000 an invalidated slot, a physical one, or one of another database. Where the slot turns out to be
 * fine, or the server cannot be asked, the result is retryable: a wrong diagnosis must not stop the sidecar for good.
 */
export async function diagnoseStreamError(
  error: SyncError,
  { connection, slot, publication }: StreamIdentity,
  { started, signal }: DiagnoseOptions,
): Promise<SyncError> {
  // The socket is ours: a client that ends while it connects, or whose server is dead, would keep us waiting.
  const socket = new Socket()
  const abort = (): void => void socket.destroy()
  const client = new Client({
    connectionTimeoutMillis: QUERY_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    ...connection,
    stream: () => socket,
  })
  client.on('error', () => {})
  signal.addEventListener('abort', abort, { once: true })
  try {
    signal.throwIfAborted()
    await client.connect()
    const problem = slotProblem(slot, await inspectSlot(client, slot), await databaseOf(client))
    if (problem !== null) return problem
    const { rows } = await client.query<{ wal_level: string; published: boolean }>(
      `SELECT current_setting('wal_level') AS wal_level,
              EXISTS (SELECT FROM pg_catalog.pg_publication WHERE pubname = $1) AS published`,
      [publication],
    )
    if (rows[0]?.wal_level !== 'logical') {
      return new SyncError('DATABASE_UNFIT', `wal_level is ${rows[0]?.wal_level}`, {
        hint: 'ALTER SYSTEM SET wal_level = logical; then restart Postgres.',
        cause: error,
      })
    }
    if (error.code === 'SLOT_MISSING' && rows[0].published === false) {
      return new SyncError('PUBLICATION_UNFIT', `The publication "${publication}" does not exist`, {
        hint: 'Run `safetykit-sync migrate`; what was written in between is found by a scan.',
        cause: error,
      })
    }
    if (error.code === 'SLOT_MISSING' && started) {
      // The server looks the publication up as of the WAL that it decodes, not as of now.
      const message = `The replication slot "${slot}" is older than the publication "${publication}", and cannot be read`
      return new SyncError('SLOT_LOST', message, {
        hint: `SELECT pg_drop_replication_slot('${slot}'); then run \`safetykit-sync migrate\`; what was written in between is found by a scan.`,
        cause: error,
      })
    }
  } catch {
    // Asking failed; the next attempt will fail in the same way and be diagnosed again.
  } finally {
    signal.removeEventListener('abort', abort)
    socket.destroy()
  }
  return new SyncError('STREAM_BROKEN', error.message, { retryable: true, cause: error })
}

async function databaseOf(client: Client): Promise<string> {
  const { rows } = await client.query<{ name: string }>('SELECT pg_catalog.current_database() AS name')
  return rows[0]?.name ?? ''
}
