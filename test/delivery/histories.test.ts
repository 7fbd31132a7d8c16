import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Content } from '../../src/delivery/ports.js'
import { fingerprint } from '../../src/mapping/fingerprint.js'
import { tombstone } from '../../src/mapping/object.js'
import { type Room, useRooms } from '../support/delivery.js'
import { soon } from '../support/soon.js'

const rooms = useRooms()

type Step =
  /** A row is inserted or updated; the WAL will tell. `undefined` deletes it. */
  | { readonly do: 'write'; readonly id: string; readonly value: number | undefined }
  /** So many changes of the WAL arrive. */
  | { readonly do: 'deliver'; readonly changes: number }
  /** The stream was cut: so many changes of the WAL arrive again. */
  | { readonly do: 'again'; readonly changes: number }
  /** A key without a content, as from `dirty`. */
  | { readonly do: 'hint'; readonly id: string; readonly force: boolean }
  | { readonly do: 'pause'; readonly ms: number }

const id = fc.constantFrom('a', 'b', 'c')
// Few values, so that rows often come back to what was accepted before.
const value = fc.option(fc.integer({ min: 0, max: 2 }), { nil: undefined, freq: 6 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ do: fc.constant('write' as const), id, value }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constant('deliver' as const), changes: fc.integer({ min: 1, max: 8 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('again' as const), changes: fc.integer({ min: 1, max: 12 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('hint' as const), id, force: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pause' as const), ms: fc.integer({ min: 0, max: 20 }) }) },
)

interface Version {
  readonly id: string
  readonly lsn: bigint
  readonly json: string | null
}

/** A table of which the WAL is behind, as it always is. */
class Table {
  readonly history: Version[] = []
  readonly #latest = new Map<string, Version>()
  delivered = 0
  lsn = 0x1000n

  write(id: string, value: number | undefined): void {
    this.lsn += 1n
    const version = { id, lsn: this.lsn, json: value === undefined ? null : JSON.stringify({ id, value }) }
    this.history.push(version)
    this.#latest.set(id, version)
  }

  latest(id: string): string | null {
    return this.#latest.get(id)?.json ?? null
  }

  read(id: string): Content {
    return content({ id, lsn: this.lsn, json: this.latest(id) }, 'read')
  }
}

function content({ lsn, json }: Version, by: 'wal' | 'read'): Content {
  return json === null ? { kind: 'gone', lsn, by } : { kind: 'object', json, fingerprint: fingerprint(json), lsn, by }
}

async function play(room: Room, table: Table, steps: readonly Step[]): Promise<void> {
  const deliver = (from: number, to: number): void => {
    for (const version of table.history.slice(from, to)) room.arrive(version.id, content(version, 'wal'))
  }
  for (const step of steps) {
    switch (step.do) {
      case 'write':
        table.write(step.id, step.value)
        break
      case 'deliver': {
        const from = table.delivered
        table.delivered = Math.min(table.history.length, from + step.changes)
        deliver(from, table.delivered)
        break
      }
      case 'again':
        deliver(Math.max(0, table.delivered - step.changes), table.delivered)
        break
      case 'hint':
        room.arrive(step.id, { kind: 'unread' }, { force: step.force })
        break
      case 'pause':
        await new Promise((resolve) => setTimeout(resolve, step.ms))
    }
  }
  deliver(table.delivered, table.history.length)
}

/** What was accepted is a way through the row's own history: it may skip and repeat, never turn back. */
function expectInOrder(room: Room, table: Table, id: string): void {
  const states = table.history.filter((version) => version.id === id).map(({ json }) => json ?? tombstone(id).json)
  const sent = room.emulator.history('products', id).map(({ data }) => JSON.stringify(data))
  let at = 0
  for (const json of sent) {
    at = states.indexOf(json, at)
    expect({ id, json, sent, states, found: at >= 0 }).toMatchObject({ found: true })
  }
}

test('whatever happens, the latest state of each object is accepted, in order, and every change is settled', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 60 }),
      fc.integer({ min: 0, max: 2 ** 31 - 1 }),
      fc.record({ maxBatchObjects: fc.integer({ min: 1, max: 3 }), maxConcurrency: fc.integer({ min: 1, max: 4 }) }),
      async (steps, seed, limits) => {
        await rooms.empty()
        const room = await rooms.open({
          delivery: { ...limits, maxBatchAgeMs: 1, retryBaseMs: 2, retryMaxMs: 20, requestTimeoutMs: 400 },
          retryAfterMs: Array.from({ length: 50 }, () => 60_000),
        })
        const faults = [
          { latencyMs: 3 },
          { latencyMs: 12 },
          { status: 429 },
          { status: 500 },
          { reset: true },
          { resetAfterAccept: true },
          { garbage: true },
          { reject: 422, message: 'no' },
        ] as const
        for (const [n, fault] of faults.entries()) {
          room.emulator.faults.add({ when: { probability: 0.1, seed: seed + n }, do: fault })
        }
        room.emulator.faults.add({ when: { probability: 0.1, seed, times: 1 }, do: { hangAfterAccept: true } })
        room.origin('products', { tombstone })
        const table = new Table()
        for (const id of ['a', 'b', 'c']) room.rows.set(id, () => table.read(id))

        await play(room, table, steps)
        await room.done()
        // What was parked is taken up again, as by the schedule, once the API is well.
        room.emulator.faults.clear()
        for (const row of await room.objects()) {
          if (row.state !== 'accepted') room.arrive(String(row.object_id), { kind: 'unread' }, { force: true })
        }
        await room.done()
        for (const id of ['a', 'b', 'c']) {
          expectInOrder(room, table, id)
          const last = room.emulator.object('products', id)?.data
          const latest = table.latest(id) ?? (last === undefined ? undefined : tombstone(id).json)
          expect(last && JSON.stringify(last)).toBe(latest)
        }
        await soon(() => expect(room.emulator.violations).toEqual([]))
        await room.close()
      },
    ),
    { numRuns: 60, interruptAfterTimeLimit: 90_000 },
  )
}, 180_000)
