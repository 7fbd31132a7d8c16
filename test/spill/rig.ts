import { expect } from 'vitest'
import type { FaultAction } from '../../src/emulator/index.js'
import { type Rig, type RigOptions, rigForTest } from '../support/pipeline.js'
import { soon } from '../support/soon.js'

export const quick = {
  spill: { afterMs: 500 },
  delivery: { retryBaseMs: 10, retryMaxMs: 200, requestTimeoutMs: 1_000 },
}

export const items = 'CREATE TABLE items (id int PRIMARY KEY, title text, price int)'

/** A table of 1,000 rows that are delivered, and an API that is well so far. */
export async function spillRig(overrides: Partial<RigOptions> = {}): Promise<Rig> {
  const rig = await rigForTest({
    sql: items,
    tables: { 'public.items': { namespace: 'items', fields: { title: true, price: true }, onDelete: 'tombstone' } },
    ...overrides,
    settings: { ...quick, ...overrides.settings },
  })
  await rig.db.query(`INSERT INTO items SELECT n, 'first ' || n, 0 FROM generate_series(1, 1000) AS n`)
  await rig.caughtUp()
  return rig
}

/** The API goes away for a namespace, or for all; returns what brings it back. */
export function away(rig: Rig, how: FaultAction, namespace?: string): () => void {
  const when = { path: 'add' as const, ...(namespace === undefined ? {} : { namespace }) }
  const fault = rig.emulator.faults.add({ when, do: how })
  return () => fault.remove()
}

export const spills = (rig: Rig): Promise<void> => soon(() => expect(rig.pipeline.state.phase).toBe('spilling'))

/** Nothing waits any more, and what SafetyKit has is what the table holds. */
export async function inStep(rig: Rig, namespace = 'items', table = 'items'): Promise<void> {
  await rig.caughtUp()
  await soon(async () => expect((await rig.side('dirty', 'true LIMIT 1')).length).toBe(0))
  const { rows } = await rig.db.query<{ id: number }>(`SELECT id, title, price FROM ${table}`)
  const wanted = Object.fromEntries(rows.map((row) => [row.id, { ...row, id: String(row.id) }]))
  const sent = Object.entries(rig.sent(namespace)).filter(([, data]) => !('deleted' in (data as object)))
  expect(Object.fromEntries(sent)).toEqual(wanted)
}

/** The versions of an object that were sent since there were so many. */
export const since = (rig: Rig, id: number, before: number): readonly unknown[] =>
  rig.emulator
    .history('items', String(id))
    .slice(before)
    .map(({ data }) => data)
