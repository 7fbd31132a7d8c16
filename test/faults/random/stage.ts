import pg from 'pg'
import type { SyncOptions } from '../../../src/config/input.js'
import { type Emulator, startEmulator } from '../../../src/emulator/index.js'
import { type OwnServer, ownServer } from '../../support/server.js'
import { runCommand, startSidecar, writeConfig } from '../../support/sidecar.js'
import { type TcpProxy, tcpProxy } from '../../support/tcp-proxy.js'
import { Supervised } from './supervised.js'
import { mappedTables, tablesSql } from './workload.js'

/** The bound that the sidecar is told for the WAL that its slot may hold back. */
export const lagBytes = 32 * 1024 * 1024

/** A sidecar with ways of its own to the database and to the API. */
export interface Place {
  readonly sidecar: Supervised
  readonly database: TcpProxy
  readonly api: TcpProxy
}

/** Lines of the sidecars' logs, counted. */
export interface Told {
  /** The slot is lost. */
  slotLost: number
  /** Versions of a table of which each is sent were left out: one was refused, or they held back too much. */
  versionsLeftOut: number
}

/** A database server, the emulator, and two sidecars that are started again when they end. */
export interface Stage {
  readonly capture: 'replication' | 'trigger'
  readonly server: OwnServer
  readonly emulator: Emulator
  readonly places: readonly [Place, Place]
  readonly slot: string
  /** What the sidecars have said so far. */
  readonly told: Readonly<Told>
  /** The slot was dropped or invalidated by a fault of this round, or may have been. */
  slotTaken: boolean
  /** The one that delivers, as far as one can see from here; of workers any. */
  active(): Place
  /** Without the proxies, on a connection of its own. */
  query<Row extends object = Record<string, unknown>>(sql: string, params?: readonly unknown[]): Promise<Row[]>
  /** Stops and starts the server; one after the other, where several ask for it. */
  restart(mode: 'fast' | 'immediate', awayMs: () => Promise<void>): Promise<void>
  close(): Promise<void>
}

export async function openStage(capture: Stage['capture'], settings: SyncOptions = {}): Promise<Stage> {
  const server = await ownServer({
    flags: {
      // A sidecar that does not answer loses the slot while it still lives.
      wal_sender_timeout: '4s',
      fsync: 'on',
      max_wal_size: '256MB',
    },
  })
  const emulator = await startEmulator()
  const slot = 'faults'
  const directory = await writeConfig({
    capture,
    ...(capture === 'replication' ? { slot: { name: slot } } : {}),
    spill: { afterMs: 2_500, lagBytes },
    heartbeat: { everyMs: 1_000, deadlineMs: 8_000 },
    delivery: { maxBatchObjects: 20, requestTimeoutMs: 2_000, retryBaseMs: 20, retryMaxMs: 1_000 },
    // What is refused is tried again until it is taken.
    parking: { retryAfterMs: Array.from({ length: 500 }, () => 500) },
    maxPendingBytes: 1024 * 1024,
    ...settings,
    tables: mappedTables(capture),
  })
  const query = async <Row extends object>(sql: string, params: readonly unknown[] = []): Promise<Row[]> => {
    const client = new pg.Client({ connectionString: server.url(), connectionTimeoutMillis: 5_000 })
    client.on('error', () => {})
    try {
      await client.connect()
      return (await client.query<Row & pg.QueryResultRow>(sql, [...params])).rows
    } finally {
      await client.end().catch(() => {})
    }
  }
  await query(tablesSql)
  const env = (database: string, api: string) => ({
    DATABASE_URL: database,
    SAFETYKIT_BASE_URL: api.replace(/\/$/, ''),
    SAFETYKIT_API_KEY: emulator.apiKey,
  })
  const migrated = await runCommand(['migrate'], { cwd: directory.dir, env: env(server.url(), emulator.url) })
  if (migrated.code !== 0) throw new Error(`migrate: ${migrated.stderr}`)

  const told: Told = { slotLost: 0, versionsLeftOut: 0 }
  const onLine = (line: string): void => {
    if (line.includes('"The replication slot is lost')) told.slotLost += 1
    const refused = line.includes('"An object was refused and parked') && line.includes('"namespace":"posts"')
    if (refused || line.includes('"The slot holds back too much WAL')) told.versionsLeftOut += 1
  }
  const place = async (): Promise<Place> => {
    const database = await tcpProxy(server.url())
    const api = await tcpProxy(emulator.url)
    const clock = `--import=${new URL('./clock.mjs', import.meta.url).href}`
    const start = () =>
      startSidecar({
        cwd: directory.dir,
        onLine,
        env: { ...env(database.url(server.url()), api.url(emulator.url)), NODE_OPTIONS: clock },
      })
    return { sidecar: new Supervised(start), database, api }
  }
  const places = [await place(), await place()] as const
  let restarting = Promise.resolve()
  return {
    capture,
    server,
    emulator,
    places,
    slot,
    told,
    slotTaken: false,
    query,
    active: () => places.find(({ sidecar }) => sidecar.delivers) ?? places[0],
    restart(mode, awayMs) {
      restarting = restarting.then(async () => {
        await server.stop(mode)
        await awayMs()
        await server.start()
      })
      return restarting
    },
    async close() {
      await Promise.all(places.map(({ sidecar }) => sidecar.end('SIGKILL')))
      for (const { database, api } of places) await Promise.all([database.close(), api.close()])
      await emulator.close()
      await directory.remove()
      await server.remove()
    },
  }
}
