import type { Model } from './models.js'
import type { Plan } from './plan.js'

/** How an operation is sent so that its result holds the keys, and how what the caller asked for is made of it. */
export interface Selection {
  /** The arguments as they are sent. */
  readonly send: (args: unknown) => unknown
  /** The caller's own result. */
  readonly give: (result: unknown) => unknown
}

type Args = Readonly<Record<string, unknown>>

/** Sees to it that the result of a captured operation holds the fields of the key. */
export function selectKeys(
  keys: NonNullable<Plan['keys']>,
  twin: string | null,
  dataPath: readonly string[],
): Selection {
  if (twin !== null) {
    const select = Object.fromEntries(keys.fields.map((key) => [key.field, true]))
    return {
      send: (args) => ({ ...(args as Args), select }),
      give: (rows) => ({ count: Array.isArray(rows) ? rows.length : 0 }),
    }
  }
  const hidden = new Map<string, 'deleted' | 'hidden'>()
  return {
    send(args) {
      hidden.clear()
      return sent((args ?? {}) as Args, keys, hidden)
    },
    give(result) {
      for (const row of Array.isArray(result) ? result : [result]) hide(row, hidden)
      return unpacked(result, dataPath)
    },
  }
}

function sent(
  args: Args,
  { model, fields }: NonNullable<Plan['keys']>,
  hidden: Map<string, 'deleted' | 'hidden'>,
): Args {
  const { select, omit } = args
  if (isObject(select)) {
    // Prisma refuses an empty selection, and both at once: in the caller's words.
    if (!Object.values(select).some(Boolean) || isObject(omit)) return args
    const missing = fields.map((key) => key.field).filter((field) => select[field] !== true)
    const how = selectsComputed(select, model) ? 'hidden' : 'deleted'
    for (const field of missing) hidden.set(field, how)
    if (missing.length === 0) return args
    return { ...args, select: { ...select, ...Object.fromEntries(missing.map((field) => [field, true])) } }
  }
  const given = isObject(omit) ? omit : {}
  const missing = fields
    .map((key) => key.field)
    .filter((field) => (typeof given[field] === 'boolean' ? given[field] : model.omitted.has(field)))
  if (missing.length === 0) return args
  for (const field of missing) hidden.set(field, 'hidden')
  return { ...args, omit: { ...given, ...Object.fromEntries(missing.map((field) => [field, false])) } }
}

/** What is no field of the model is computed by another extension, which may need the key that we would delete. */
function selectsComputed(select: Args, model: Model): boolean {
  return Object.keys(select).some((name) => select[name] && name !== '_count' && !model.fields.has(name))
}

/**
 * Where another extension may compute fields from the key it has to stay, out of sight; which extensions there are after
 * ours cannot be seen from here.
 */
function hide(row: unknown, hidden: ReadonlyMap<string, 'deleted' | 'hidden'>): void {
  if (!isObject(row)) return
  for (const [field, how] of hidden) {
    if (how === 'deleted') Reflect.deleteProperty(row, field)
    else Object.defineProperty(row, field, { value: row[field], enumerable: false, configurable: true, writable: true })
  }
}

/** What a fluent call leads to; the path's odd steps are the fields. */
function unpacked(result: unknown, dataPath: readonly string[]): unknown {
  let value = result
  for (let at = 1; at < dataPath.length && value; at += 2) value = (value as Args)[dataPath[at] ?? '']
  return value
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
