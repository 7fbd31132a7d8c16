import { isDeepStrictEqual } from 'node:util'
import type { DataObject, StoredObject } from '../../src/emulator/index.js'
import { soon } from './soon.js'

/** What is asked of the emulator; one in another process answers the same. */
export interface Delivered {
  readonly violations: readonly string[]
  objects(namespace: string): ReadonlyMap<string, StoredObject>
}

export interface InStepOptions {
  readonly db: { query(sql: string): Promise<{ rows: Record<string, unknown>[]; rowCount: number | null }> }
  readonly emulator: Delivered
  /** For each namespace a query with the column `object`, json: what SafetyKit has to have. */
  readonly expected: Readonly<Record<string, string>>
  /** Rows that nobody was told of, as they were there before the capture: SafetyKit need not have them. */
  readonly untouched?: (object: DataObject) => boolean
}

/**
 * What SafetyKit and the ledger have that is not as the tables are: a row's latest state, a tombstone for every row that is
 * gone, and for every object the request that the ledger has.
 */
export async function differences({ db, emulator, expected, untouched }: InStepOptions): Promise<string[]> {
  const wrong: string[] = []
  for (const [namespace, sql] of Object.entries(expected)) {
    const sent = emulator.objects(namespace)
    const rows = await db.query(sql)
    const table = new Map(rows.rows.map(({ object }) => [(object as DataObject).id, object as DataObject]))
    for (const [id, object] of table) {
      const data = sent.get(id)?.data
      if (data === undefined && untouched?.(object) === true) continue
      if (!isDeepStrictEqual(data, object)) {
        wrong.push(`${namespace}/${id}: ${JSON.stringify(data)} is not ${JSON.stringify(object)}`)
      }
    }
    for (const { id, data } of sent.values()) {
      if (!table.has(id) && data.deleted !== true) wrong.push(`${namespace}/${id} is gone, and was not said to be`)
    }
  }
  const recorded = await db.query('SELECT namespace, object_id, request_id FROM safetykit.objects')
  for (const { namespace, object_id: id, request_id: requestId } of recorded.rows) {
    const accepted = emulator.objects(String(namespace)).get(String(id))?.requestId
    if (accepted !== requestId) {
      wrong.push(`${namespace}/${id} was accepted in ${accepted}, the ledger has ${requestId}`)
    }
  }
  const known = new Set(recorded.rows.map(({ namespace, object_id: id }) => `${namespace}/${id}`))
  for (const namespace of Object.keys(expected)) {
    for (const id of emulator.objects(namespace).keys()) {
      if (!known.has(`${namespace}/${id}`)) wrong.push(`${namespace}/${id} is not in the ledger`)
    }
  }
  return wrong
}

/** Waits until no key waits and no table is scanned. */
export function settled(db: InStepOptions['db']): Promise<void> {
  return soon(async () => {
    const { rowCount } = await db.query(
      `SELECT source FROM safetykit.dirty UNION ALL SELECT source FROM safetykit.scans WHERE finished_at IS NULL`,
    )
    if (rowCount !== 0) throw new Error(`${rowCount} keys or scans wait`)
  })
}
