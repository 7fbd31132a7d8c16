import { setTimeout as sleep } from 'node:timers/promises'
import { idFromKey } from '../mapping/mapping-plan.js'
import { keyAsBound } from '../pipeline/row-keys.js'
import type { Flushed, FlushOptions, ObjectStatus, RefusedObject } from './api.js'
import type { BoundModels } from './bound-models.js'
import type { ObjectRecords } from './object-records.js'
import type { WaitingKeys, WaitingKeysView } from './waiting-keys.js'

export interface FlushParts {
  readonly waiting: WaitingKeysView
  readonly models: BoundModels
  readonly records: ObjectRecords
  /** With capture by replication: whether the slot has passed all that is committed when it is first called. */
  readonly slotHasPassed: (() => Promise<boolean>) | null
  /**
   * Starts the worker where this process delivers, and wakes it.
   * @throws why it cannot run.
   */
  readonly work: () => Promise<void>
  /** After all that: gives back what this process holds. */
  readonly rest: () => Promise<void>
}

/** Between two looks: short at first, since an idle system settles a write within some 50 ms. */
const firstPollMs = 5
const maxPollMs = 100

/** Beyond its time, for the answers of a database that answers. */
const graceMs = 1_000

/**
 * Waits until nothing is left of what waits now, and says what became of it. It ends in its time whatever happens: the
 * ledger may be locked, or its database away.
 */
export async function flush(parts: FlushParts, { timeoutMs = 30_000 }: FlushOptions): Promise<Flushed> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<Flushed>((resolve) => {
    timer = setTimeout(() => resolve({ ...nothing, settled: false, waiting: 1 }), timeoutMs + graceMs)
  })
  try {
    return await Promise.race([flushed(parts, timeoutMs), tooLate])
  } finally {
    clearTimeout(timer)
  }
}

async function flushed(parts: FlushParts, timeoutMs: number): Promise<Flushed> {
  const { waiting, slotHasPassed, work } = parts
  const until = deadline(timeoutMs, work)
  if (slotHasPassed !== null && !(await until(slotHasPassed))) return { ...nothing, settled: false, waiting: 1 }

  const atCall = await waiting.now()
  const keys = [...atCall.keys]
  let left = await settle(waiting, atCall, until)
  if (left === 0 && atCall.marked.length > 0) {
    // The marks are gone once a scan has begun; what it finds are keys of their own.
    const scanned = await until(async () => (await waiting.scansOf(atCall.marked)) === 0)
    const found = await waiting.now(atCall.marked)
    keys.push(...found.keys)
    left = scanned ? await settle(waiting, found, until) : Math.max(1, await waiting.scansOf(atCall.marked))
  }
  const flushed = { ...(await outcome(parts, keys)), settled: left === 0, waiting: left }
  // The last thing of all: soon after it, the worker would look again.
  if (left === 0) await parts.rest()
  return flushed
}

type Until = (done: () => Promise<boolean>) => Promise<boolean>

/** How many are left when they are gone or the time is up. */
async function settle(waiting: WaitingKeysView, { through }: WaitingKeys, until: Until): Promise<number> {
  if (through === null || (await until(() => waiting.areGone(through)))) return 0
  return Math.max(1, await waiting.count(through))
}

/** Repeats a question until it is answered with yes, or for all of them together the time is up. */
function deadline(timeoutMs: number, work: () => Promise<void>): Until {
  const end = performance.now() + timeoutMs
  return async (done) => {
    for (let waitMs = firstPollMs; ; waitMs = Math.min(waitMs * 1.5, maxPollMs)) {
      if (await done()) return true
      const leftMs = end - performance.now()
      if (leftMs <= 0) return false
      await work()
      await sleep(Math.min(waitMs, leftMs))
    }
  }
}

const nothing = { accepted: 0, parked: 0, dead: 0, absent: 0, refused: [] } as const

async function outcome({ models, records }: FlushParts, keys: WaitingKeys['keys']) {
  const idsByNamespace = new Map<string, Set<string>>()
  for (const model of await models.ofSources(new Set(keys.map(({ source }) => source)))) {
    const { bound } = model
    const primaryKey = bound.table.primaryKey.map((column) => column.name)
    for (const { source, key } of keys) {
      if (source !== bound.source) continue
      for (const mapping of bound.mappings) {
        const id = idFromKey(mapping, primaryKey, keyAsBound(bound, key))
        const ids = idsByNamespace.get(mapping.namespace) ?? new Set()
        if (id !== undefined) idsByNamespace.set(mapping.namespace, ids.add(id))
      }
    }
  }
  const counts = { accepted: 0, parked: 0, dead: 0, absent: 0 }
  const refused: RefusedObject[] = []
  for (const [namespace, ids] of idsByNamespace) {
    const known = await records.objects(namespace, [...ids])
    counts.absent += ids.size - known.size
    for (const { objectId, state, error } of known.values()) {
      counts[state] += 1
      if (isRefused(state)) refused.push({ namespace, objectId, state, error })
    }
  }
  return { ...counts, refused }
}

const isRefused = (state: ObjectStatus['state']): state is RefusedObject['state'] => state !== 'accepted'
