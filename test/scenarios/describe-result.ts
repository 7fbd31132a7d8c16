import { inspect } from 'node:util'

/** What a call gave, as a caller can see it. */
export interface Described {
  /** Values, their classes, the order of keys. */
  readonly looks: string
  /** As it goes into an HTTP answer. */
  readonly json: string
  readonly keys: string
}

/** Runs a call, and describes what came of it: a value or an error. Generated ids and the time of day are made equal. */
export async function describeResult(call: () => Promise<unknown>): Promise<Described> {
  try {
    return describe(await call())
  } catch (error) {
    // The stack differs, all the rest is what a caller may look at.
    const { name, message } = error as Error
    return describe({ thrown: (error as Error).constructor.name, ...(error as Error), name, message })
  }
}

function describe(value: unknown): Described {
  const looks = inspect(value, {
    depth: Infinity,
    maxArrayLength: Infinity,
    maxStringLength: Infinity,
    breakLength: 120,
  })
  return { looks: steady(withoutStacks(looks)), json: steady(json(value)), keys: JSON.stringify(keysOf(value)) }
}

/** Errors in the `meta` of an error are shown with where they were made. */
const withoutStacks = (text: string): string => text.replaceAll(/\n *at [^\n]*?( \{)?(?=\n|$)/g, '$1')

function json(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => (typeof part === 'bigint' ? `${part}n` : part)) ?? 'undefined'
}

/** The keys as loops see them, inherited ones included. */
function keysOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(keysOf)
  if (typeof value !== 'object' || value === null) return typeof value
  const keys: [string, unknown][] = []
  for (const key in value) keys.push([key, keysOf((value as Record<string, unknown>)[key])])
  return keys
}

const uuid = /\b[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\b/g
const time = /\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|\+00)?/g

/** Ids that Prisma makes become `uuid 1`, `uuid 2`; times of the last hour become `now`. Those of seed.sql stay. */
export function steady(text: string): string {
  const seen: string[] = []
  return text
    .replaceAll(uuid, (id) => {
      if (/^(.)\1{7}-/.test(id)) return id
      if (!seen.includes(id)) seen.push(id)
      return `uuid ${seen.indexOf(id) + 1}`
    })
    .replaceAll(time, (at) => {
      const ms = Date.parse(`${at.replace(' ', 'T').replace(/Z|\+00$/, '')}Z`)
      return Math.abs(Date.now() - ms) < 3_600_000 ? 'now' : at
    })
}

/** Rows whose ids are generated come in any order. */
export function steadyRows(contents: Readonly<Record<string, readonly string[]>>): Record<string, string[]> {
  const rows = Object.entries(contents).map(
    ([table, lines]) => [table, lines.map((row) => steady(row)).sort()] as const,
  )
  return Object.fromEntries(rows)
}
