import { isDeepStrictEqual } from 'node:util'
import type { DataObject } from '../../../src/emulator/index.js'
import type { Stage } from './stage.js'
import { expected } from './workload.js'

/** Why the pipeline is not in step yet; `null` where all that was written is settled. */
export async function waiting({ capture, query, slot }: Stage, writtenTo: string): Promise<string | null> {
  const [row] = await query<{ keys: string; scans: string; refused: string }>(`SELECT
    (SELECT count(*) FROM safetykit.dirty) AS keys,
    (SELECT count(*) FROM safetykit.scans WHERE finished_at IS NULL) AS scans,
    (SELECT count(*) FROM safetykit.objects WHERE state <> 'accepted') AS refused`)
  const waits = Object.entries(row ?? {}).filter(([, count]) => Number(count) > 0)
  if (capture === 'replication') {
    const [state] = await query<{ behind: string }>(
      `SELECT greatest(0, $2::pg_lsn - confirmed_flush_lsn) AS behind FROM pg_replication_slots WHERE slot_name = $1`,
      [slot, writtenTo],
    )
    if (state === undefined) waits.push(['slot', 'missing'])
    else if (Number(state.behind) > 0) waits.push(['bytes of WAL', state.behind])
  }
  return waits.length === 0 ? null : waits.map(([what, count]) => `${what}: ${count}`).join(', ')
}

/** What SafetyKit and the ledger have that is not as the tables are. */
export async function lost({ query, emulator }: Stage): Promise<string[]> {
  const wrong: string[] = []
  const recorded = await query<{ namespace: string; object_id: string; request_id: string | null }>(
    'SELECT namespace, object_id, request_id FROM safetykit.objects',
  )
  for (const [namespace, { sql, tombstones }] of Object.entries(expected)) {
    const sent = emulator.objects(namespace)
    const rows = await query<{ object: DataObject }>(sql)
    const table = new Map(rows.map(({ object }) => [object.id, object]))
    for (const [id, object] of table) {
      const data = sent.get(id)?.data
      if (!isDeepStrictEqual(data, object)) wrong.push(`${namespace}/${id}: ${short(data)} is not ${short(object)}`)
    }
    const known = new Map(recorded.filter((row) => row.namespace === namespace).map((row) => [row.object_id, row]))
    for (const { id, data, requestId } of sent.values()) {
      if (tombstones && !table.has(id) && data.deleted !== true) {
        wrong.push(`${namespace}/${id} is gone, and SafetyKit has ${short(data)}`)
      }
      const row = known.get(id)
      known.delete(id)
      // Sent by a process that was killed before it was recorded, and then deleted: there is nothing to be sent again.
      if (!tombstones && !table.has(id)) continue
      if (row?.request_id !== requestId) {
        wrong.push(
          `${namespace}/${id}, ${short(data)}, was accepted in ${requestId}, the ledger has ${row?.request_id}`,
        )
      }
    }
    for (const { object_id: id, request_id: requestId } of known.values()) {
      if (requestId !== null) wrong.push(`${namespace}/${id}: the ledger has ${requestId}, which nobody accepted`)
    }
  }
  return wrong
}

/** Objects whose versions were not accepted in the order in which they were written; the same one again is allowed. */
export function disorder({ capture, emulator }: Stage): string[] {
  const wrong: string[] = []
  for (const namespace of Object.keys(expected)) {
    // Where each version is sent, a crash goes back to what was not recorded; see every.ts.
    if (capture === 'replication' && namespace === 'posts') continue
    for (const id of emulator.objects(namespace).keys()) {
      let newest = 0
      let before = ''
      for (const { data, requestId, acceptedAt } of emulator.history(namespace, id)) {
        if (data.deleted === true) continue
        const version = Number(data.version)
        if (version < newest) {
          wrong.push(`${namespace}/${id}: version ${version}, ${acceptedAt}, ${requestId}, after ${newest}, ${before}`)
        }
        if (version > newest) before = `${acceptedAt}, ${requestId}`
        newest = Math.max(newest, version)
      }
    }
  }
  return wrong
}

function short(object: DataObject | undefined): string {
  const text = JSON.stringify(object, (_, value) =>
    typeof value === 'string' && value.length > 40 ? `${value.slice(0, 20)}… (${value.length})` : value,
  )
  return text ?? 'nothing'
}
