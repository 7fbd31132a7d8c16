import { onTestFinished } from 'vitest'
import type { RowKey } from '../../src/capture/change.js'
import type { SyncOptions } from '../../src/config/input.js'
import type { Content, KnownObject, Origin } from '../../src/delivery/ports.js'
import { SyncError } from '../../src/errors.js'
import { Comparison } from '../../src/ledger/comparison.js'
import { Ledger } from '../../src/ledger/ledger.js'
import { migrateLedger } from '../../src/ledger/migrate.js'
import { type Run, ScanStore } from '../../src/ledger/scans.js'
import { type Databases, openDatabases } from '../../src/pipeline/databases.js'
import { rowsReader } from '../../src/pipeline/read-rows.js'
import { Scanner, type ScannerOptions } from '../../src/pipeline/scan/scanner.js'
import { Sources } from '../../src/pipeline/sources.js'
import { defineSync } from '../../src/sync.js'
import { type LogLine, memoryLogger } from '../support/memory-logger.js'
import { createDatabase, type TestDatabase } from '../support/postgres.js'
import { soon } from '../support/soon.js'

/** The scanner on a real database; what it finds is delivered by hand, so that a test says when. */
export interface ScanRig {
  readonly db: TestDatabase
  readonly databases: Databases
  readonly sources: Sources
  readonly ledger: Ledger
  readonly scans: ScanStore
  readonly comparison: Comparison
  readonly log: readonly LogLine[]
  /** Objects that were delivered, in order: `namespace/id`. */
  readonly delivered: string[]
  mark(source: string): Promise<void>
  start(options?: Partial<ScannerOptions>): Scanner
  /** Starts a scanner, waits until no scan is left to do, and stops it. */
  scan(options?: Partial<ScannerOptions>): Promise<void>
  /** Nothing is marked, no scan is unfinished. */
  served(): Promise<void>
  /** The keys that wait. */
  waiting(source?: string): Promise<RowKey[]>
  /** Works all keys off, as a worker does. Returns how many objects were sent. */
  deliver(options?: { readonly refuse?: (id: string) => boolean }): Promise<number>
  /** Takes all keys away, and returns them. */
  take(): Promise<RowKey[]>
  /** What a worker has in hand after it has read a row, for the first mapping of the first table. */
  readOne(key: RowKey): Promise<InHand>
  /** Records that what was read has been accepted. */
  accept(read: InHand): Promise<void>
  /** The runs, as they stand in `scans`. */
  runs(): Promise<readonly Run[]>
}

export interface InHand {
  readonly key: RowKey
  readonly id: string
  readonly fingerprint: string
}

export async function scanRig(options: {
  readonly sql: string
  readonly tables: object
  readonly settings?: SyncOptions
}): Promise<ScanRig> {
  const db = await createDatabase({ sql: options.sql })
  const log: LogLine[] = []
  const logger = memoryLogger(log)
  const { resolved } = defineSync({ capture: 'trigger', ...options.settings, tables: options.tables } as never)
  const databases = openDatabases({ databaseUrl: db.url, resolved, logger })
  const running = new Set<Scanner>()
  onTestFinished(async () => {
    await Promise.all([...running].map((scanner) => scanner.stop()))
    await databases.close()
    await db.drop()
  })
  await migrateLedger(await db.client(), 'safetykit')
  const sources = await Sources.open({ db: databases.source, resolved, defaultSchema: 'public', logger })
  const ledger = new Ledger({ pool: databases.ledger, schema: 'safetykit' })
  const side = { pool: databases.ledger, schema: 'safetykit' }
  const scans = new ScanStore(side)
  const names = sources.all.map(({ name }) => name)
  const readRows = rowsReader({ db: databases.source, sources })
  let requests = 0

  const rig: ScanRig = {
    db,
    databases,
    sources,
    ledger,
    scans,
    comparison: new Comparison(side),
    log,
    delivered: [],
    async mark(source) {
      await db.query('INSERT INTO safetykit.dirty (source) VALUES ($1)', [source])
    },
    start(overrides = {}) {
      const lease = { acquire: async () => true, holds: () => true, release: async () => {} }
      const scanner = new Scanner({
        db: databases.source,
        ledger: databases.ledger,
        schema: 'safetykit',
        sources,
        lease,
        onKeys: () => {},
        logger,
        pollMs: 20,
        ...overrides,
      })
      running.add(scanner)
      return scanner
    },
    async scan(overrides) {
      const scanner = rig.start(overrides)
      await rig.served()
      await scanner.stop()
    },
    served: () =>
      soon(async () => {
        // In this order: a mark becomes a run in one step.
        const left = [...(await scans.marked(names)), ...(await scans.unfinished(names, 'mark'))]
        if (left.length > 0) throw new Error(`${left.length} scans are left: ${JSON.stringify(log.slice(-3))}`)
      }),
    async waiting(source) {
      const { rows } = await db.query<{ key: RowKey }>(
        'SELECT key FROM safetykit.dirty WHERE key IS NOT NULL AND ($1::text IS NULL OR source = $1) ORDER BY seq',
        [source ?? null],
      )
      return rows.map(({ key }) => key)
    },
    async take() {
      const { rows } = await db.query<{ key: RowKey }>(
        'DELETE FROM safetykit.dirty WHERE key IS NOT NULL RETURNING key',
      )
      return rows.map(({ key }) => key)
    },
    async deliver({ refuse = () => false } = {}) {
      const { rows: keys } = await db.query<{ seq: string; source: string; key: RowKey }>(
        'SELECT seq, source, key FROM safetykit.dirty WHERE key IS NOT NULL ORDER BY seq',
      )
      const before = rig.delivered.length
      for (const source of sources.all) {
        for (const { origin, idOf } of source.targets) {
          const objects = new Map(
            keys.filter((row) => row.source === source.name).map(({ key }) => [idOf(key) ?? '', { key }]),
          )
          const rows = [...objects].map(([id, { key }]) => ({ id, key }))
          for (let at = 0; at < rows.length; at += 1_000) {
            await send(origin, rows.slice(at, at + 1_000), refuse)
          }
        }
      }
      await db.query('DELETE FROM safetykit.dirty WHERE seq = ANY($1::bigint[])', [keys.map(({ seq }) => seq)])
      return rig.delivered.length - before
    },
    async readOne(key) {
      const [target] = sources.all[0]!.targets
      const id = target!.idOf(key)!
      const [content] = await readRows(target!.origin, [{ id, key }])
      if (content?.kind !== 'object') throw new Error(`read ${content?.kind}`)
      return { key, id, fingerprint: content.fingerprint }
    },
    async accept({ key, id, fingerprint }) {
      const { namespace, source } = sources.all[0]!.targets[0]!.origin
      const [known] = await ledger.lookup(namespace, [id])
      requests += 1
      const object = { id, source, sending: { fingerprint, lsn: null }, known, key: () => key }
      const receipt = { namespace, requestId: `req_${requests}`, acceptedAt: new Date(), objects: [object] }
      await ledger.record({ receipts: [receipt], parked: [], deferred: [], unparked: [] })
    },
    runs: () => scans.unfinished(names, 'mark'),
  }
  return rig

  async function send(
    origin: Origin,
    rows: readonly { readonly id: string; readonly key: RowKey }[],
    refuse: (id: string) => boolean,
  ): Promise<void> {
    const { namespace, source } = origin
    const contents = await readRows(origin, rows)
    const known = await ledger.lookup(
      namespace,
      rows.map(({ id }) => id),
    )
    const objects = rows.flatMap(({ id, key }, index) => {
      const content = stateOf(origin, id, contents[index]!, known[index] ?? null)
      if (content === null || content.kind === 'unchanged') return []
      return [{ id, key, content, known: known[index] ?? null }]
    })
    const refused = objects.filter(({ id, content }) => content.kind === 'invalid' || refuse(id))
    const accepted = objects.filter((object) => !refused.includes(object))
    const nothing = { receipts: [], parked: [], deferred: [], unparked: [] }
    requests += 1
    await ledger.record({
      ...nothing,
      receipts: [
        {
          namespace,
          requestId: `req_${requests}`,
          acceptedAt: new Date(),
          objects: accepted.map(({ id, key, content, known }) => ({
            id,
            source,
            sending: { fingerprint: content.fingerprint, lsn: null },
            known,
            key: () => key,
          })),
        },
      ],
      parked: refused.map(({ id, key, content }) => ({
        ...{ namespace, id, source, key, status: 422, attempts: 1, retryAt: null },
        error: new SyncError('API_REJECTED', 'no'),
        fingerprint: content.kind === 'invalid' ? undefined : content.fingerprint,
      })),
    })
    rig.delivered.push(...objects.map(({ id }) => `${namespace}/${id}`))
  }
}

type State = { readonly kind: 'object' | 'unchanged' | 'invalid'; readonly fingerprint: string }

function stateOf(origin: Origin, id: string, content: Content, known: KnownObject | null): State | null {
  if (content.kind === 'invalid') return { kind: 'invalid', fingerprint: '' }
  const sent =
    content.kind === 'object'
      ? content
      : content.kind === 'gone' && known?.requestId != null
        ? origin.tombstone?.(id)
        : undefined
  if (sent === undefined) return null
  const unchanged = known?.state === 'accepted' && known.fingerprint === sent.fingerprint
  return { kind: unchanged ? 'unchanged' : 'object', fingerprint: sent.fingerprint }
}
