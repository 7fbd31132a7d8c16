import type { CallName } from './route.js'

/** Which requests a fault hits. All that is given must fit; without anything it hits every call. */
export interface FaultCondition {
  readonly namespace?: string
  readonly path?: CallName
  /** How many requests it hits. Default: all. */
  readonly times?: number
  /** The part of the requests it hits, 0 to 1. Default: 1. */
  readonly probability?: number
  /** Makes `probability` repeatable. Default: 1. */
  readonly seed?: number
  /** Only requests that hold one of these ids (uploads: only with `keepObjects`). */
  readonly ids?: readonly string[]
}

/**
 * What happens instead of an answer. `latencyMs` goes with each of the others, and of several faults; of the rest the
 * first that fits decides.
 */
export type FaultAction = { readonly latencyMs?: number } & (
  | { readonly latencyMs: number }
  /** An answer with this status; `retryAfter` is the header as it is sent (seconds or an HTTP date). Not accepted. */
  | { readonly status: number; readonly retryAfter?: string; readonly body?: unknown }
  /** The connection is reset. Not accepted. */
  | { readonly reset: true }
  /** Accepted, then the connection is reset. */
  | { readonly resetAfterAccept: true }
  /**
   * The connection is reset in the middle of the answer, which was accepted; but of an upload in the middle of the body,
   * of which nothing is taken (and whose `ids` nobody knows then).
   */
  | { readonly resetMidway: true }
  /** Never answered. Not accepted. */
  | { readonly hang: true }
  /** Accepted, never answered. */
  | { readonly hangAfterAccept: true }
  /** The API refuses the request with these words. An import is uploaded all the same, and then fails. */
  | { readonly reject: number; readonly message: string }
  /** 200 with a body that is not the contract's: this text, or an HTML page. Not accepted. */
  | { readonly garbage: true | string }
)

export interface Fault {
  readonly when?: FaultCondition
  readonly do: FaultAction
}

/** A fault that was added. */
export interface FaultHandle {
  readonly id: number
  /** Requests it has hit so far. */
  readonly hits: number
  remove(): void
}

/** A request as the faults see it. */
export interface FaultTarget {
  readonly call: CallName
  readonly namespace: string
  readonly ids: readonly string[]
}

/** What the faults that hit a request make of it together. */
export interface FaultEffect {
  readonly latencyMs: number
  readonly action: FaultAction | null
}

interface ActiveFault {
  readonly id: number
  readonly fault: Fault
  readonly ids: ReadonlySet<string> | null
  readonly random: () => number
  hits: number
}

const noEffect: FaultEffect = { latencyMs: 0, action: null }

/** The faults that are switched on. */
export class Faults {
  readonly #active = new Map<number, ActiveFault>()
  #lastId = 0

  /** Switches a fault on. Throws a `TypeError` that names what is wrong with it. */
  add(fault: Fault): FaultHandle {
    checkFault(fault)
    this.#lastId += 1
    const id = this.#lastId
    const ids = fault.when?.ids === undefined ? null : new Set(fault.when.ids)
    const active: ActiveFault = { id, fault, ids, random: randomFrom(fault.when?.seed ?? 1), hits: 0 }
    this.#active.set(id, active)
    return {
      id,
      get hits() {
        return active.hits
      },
      remove: () => void this.remove(id),
    }
  }

  /** Whether there was one of this id. */
  remove(id: number): boolean {
    return this.#active.delete(id)
  }

  clear(): void {
    this.#active.clear()
  }

  list(): { id: number; fault: Fault; hits: number }[] {
    return [...this.#active.values()].map(({ id, fault, hits }) => ({ id, fault, hits }))
  }

  /** Draws the faults that hit this request once it is there, and counts them. */
  hit(target: FaultTarget): FaultEffect {
    return this.#draw(target, ({ do: action }) => target.call !== 'upload' || !('resetMidway' in action))
  }

  /** The same for a request of which the headers alone are there. */
  hitEarly(target: FaultTarget): FaultEffect {
    return this.#draw(target, ({ do: action }) => target.call === 'upload' && 'resetMidway' in action)
  }

  #draw(target: FaultTarget, concerns: (fault: Fault) => boolean): FaultEffect {
    if (this.#active.size === 0) return noEffect
    let latencyMs = 0
    let action: FaultAction | null = null
    for (const active of this.#active.values()) {
      const decides = Object.keys(active.fault.do).some((word) => word !== 'latencyMs')
      if ((decides && action !== null) || !concerns(active.fault) || !fits(active, target)) continue
      active.hits += 1
      latencyMs += active.fault.do.latencyMs ?? 0
      if (decides) action = active.fault.do
    }
    return { latencyMs, action }
  }
}

function fits({ fault: { when }, ids, hits, random }: ActiveFault, target: FaultTarget): boolean {
  if (when === undefined) return true
  if (when.times !== undefined && hits >= when.times) return false
  if (when.path !== undefined && when.path !== target.call) return false
  if (when.namespace !== undefined && when.namespace !== target.namespace) return false
  if (ids !== null && !target.ids.some((id) => ids.has(id))) return false
  return when.probability === undefined || random() < when.probability
}

/** mulberry32: repeatable, and good enough to decide which requests fail. */
function randomFrom(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

const conditionWords = ['namespace', 'path', 'times', 'probability', 'seed', 'ids']
const deciding = ['status', 'reset', 'resetAfterAccept', 'resetMidway', 'hang', 'hangAfterAccept', 'reject', 'garbage']
const actionWords = ['latencyMs', ...deciding, 'retryAfter', 'body', 'message']

/** Faults also come over HTTP, where no compiler has seen them. */
function checkFault(fault: unknown): asserts fault is Fault {
  const { when = {}, do: action } = wordsOf(fault, 'a fault', ['when', 'do'])
  const condition = wordsOf(when, 'when', conditionWords)
  if (condition.ids !== undefined && !Array.isArray(condition.ids)) throw new TypeError('when.ids is not an array')
  const words = wordsOf(action, 'do', actionWords)
  const chosen = deciding.filter((word) => words[word] !== undefined)
  if (chosen.length > 1) throw new TypeError(`do has ${chosen.join(' and ')}; one of them can happen`)
  if (chosen.length === 0 && words.latencyMs === undefined)
    throw new TypeError(`do needs one of ${actionWords.join(', ')}`)
  for (const word of ['status', 'reject']) {
    const status = words[word]
    if (status !== undefined && !(Number.isInteger(status) && Number(status) >= 200 && Number(status) <= 599)) {
      throw new TypeError(`do.${word} is not a status of 200 to 599`)
    }
  }
}

function wordsOf(value: unknown, name: string, known: readonly string[]): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError(`${name} is not an object`)
  const unknown = Object.keys(value).find((word) => !known.includes(word))
  if (unknown !== undefined)
    throw new TypeError(`${name} has an unknown word ${JSON.stringify(unknown)}; known: ${known.join(', ')}`)
  return value as Record<string, unknown>
}
