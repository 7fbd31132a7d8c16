import { expect } from 'vitest'
import type { Emulator } from '../../src/emulator/index.js'
import type { LogLine } from '../support/memory-logger.js'
import { soon } from '../support/soon.js'
import type { PrismaClient } from './clients.js'
import type { ScenarioDatabase } from './database.js'
import { expectedObjects } from './expected-objects.js'
import { type MappedTable, mappedTables, type Source } from './tables.js'

/** A database whose rows are delivered to an emulator. */
export interface Delivered {
  readonly database: ScenarioDatabase
  /** The extended client. */
  readonly prisma: PrismaClient
  readonly emulator: Emulator
  readonly log: readonly LogLine[]
}

/** Everything that is committed is settled, the scans of whole tables too. */
export async function settled({ prisma, database, log }: Delivered): Promise<void> {
  await (prisma as unknown as { $safetykit: { flush(): Promise<unknown> } }).$safetykit.flush()
  await soon(async () => {
    const { rows } = await database.db.query(
      `SELECT (SELECT count(*)::int FROM safetykit.dirty) AS keys,
         (SELECT count(*)::int FROM safetykit.scans WHERE finished_at IS NULL) AS scans`,
    )
    const told = log.filter(({ level }) => level === 'warn' || level === 'error').slice(-3)
    expect({ ...rows[0], told }).toMatchObject({ keys: 0, scans: 0 })
  })
}

/** SafetyKit has every row as it is, each under a request that the ledger knows, and knows what is gone. */
export async function expectSent({ database, emulator }: Delivered, changes: readonly Change[]): Promise<void> {
  const expected = await expectedObjects(database)
  const { rows: ledger } = await database.db.query<{ namespace: string; object_id: string; request_id: string | null }>(
    `SELECT namespace, object_id, request_id FROM safetykit.objects WHERE state = 'accepted'`,
  )
  const requests = new Map(ledger.map((row) => [`${row.namespace}/${row.object_id}`, row.request_id]))
  const gone = tombstones(changes)
  for (const [namespace, objects] of Object.entries(expected)) {
    const sent = Object.keys(objects).map((id) => [id, emulator.object(namespace, id)?.data])
    expect({ [namespace]: Object.fromEntries(sent) }).toEqual({ [namespace]: objects })
    for (const id of Object.keys(objects)) {
      expect([namespace, id, requests.get(`${namespace}/${id}`)]).toEqual([
        namespace,
        id,
        emulator.object(namespace, id)?.requestId,
      ])
    }
    for (const id of gone[namespace] ?? []) {
      if (id in objects) continue
      expect([namespace, emulator.object(namespace, id)?.data]).toEqual([namespace, { id, deleted: true }])
    }
  }
  expect(emulator.violations).toEqual([])
}

interface Change {
  readonly source: string
  readonly op: 'is' | 'gone'
  readonly key: string | null
}

function tombstones(changes: readonly Change[]): Record<string, string[]> {
  const ids: Record<string, string[]> = {}
  for (const { source, op, key } of changes) {
    const table: MappedTable = mappedTables[source as Source]
    if (op !== 'gone' || key === null || table.tombstones === undefined) continue
    const columns = table.namespaces[table.tombstones]?.id ?? []
    const values = JSON.parse(key) as Record<string, string>
    ids[table.tombstones] = [...(ids[table.tombstones] ?? []), columns.map((name) => values[name]).join(':')]
  }
  return ids
}
