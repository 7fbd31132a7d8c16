import { z } from 'zod'
import type { Evaluation } from '../evaluation.js'
import type { MappedRow } from './resolved.js'
import { contentTypes, displayHints } from './words.js'

const minutes = 60_000
const hours = 60 * minutes

/** A timer that is to wait longer goes off at once. */
const maxTimerMs = 2 ** 31 - 1
const tooLong = 'may be 2147483647 (24 days) at most'

const count = (initial: number) => z.int().positive('has to be above 0').default(initial)
const wait = (initial: number) => z.int().nonnegative('has to be 0 or more').default(initial)
const countMs = (initial: number) => z.int().positive('has to be above 0').max(maxTimerMs, tooLong).default(initial)
const waitMs = (initial: number) => z.int().nonnegative('has to be 0 or more').max(maxTimerMs, tooLong).default(initial)

// Postgres cuts longer names off without an error, and two that differ further on become one.
const identifier = (initial: string) =>
  z
    .string()
    .refine((name) => name !== '' && Buffer.byteLength(name) <= 63, 'has to be of 1 to 63 bytes')
    .default(initial)

const namespace = z.string().regex(/^[A-Za-z0-9_-]+$/, 'may hold letters, digits, _ and -, and nothing else')
const sentName = z.string().min(1, 'has to name something')
const callback = <F>() => z.custom<F>((value) => typeof value === 'function', 'has to be a function')

const unitsMs = { s: 1_000, m: minutes, h: hours, d: 24 * hours }
const duration = z
  .string()
  .regex(/^[1-9]\d{0,5}[smhd]$/, "has to be a number of s, m, h or d, as in '24h'")
  .transform((text) => Number(text.slice(0, -1)) * unitsMs[text.slice(-1) as keyof typeof unitsMs])

/** All settings but the mappings themselves. */
export const optionsShape = z.strictObject({
  capture: z.enum(['trigger', 'client', 'replication']).default('trigger'),
  deliver: z.enum(['inline', 'sidecar']).optional(),
  strict: z.boolean().default(false),
  schema: identifier('safetykit'),
  ledgerUrl: z
    .string()
    .regex(/^postgres(ql)?:\/\//, 'has to be a URL that begins with postgresql://')
    .refine(
      (url) => !url.startsWith('postgres') || URL.canParse(url),
      'is not a URL: special characters in the password are percent-encoded (# is %23, @ is %40)',
    )
    .optional(),
  publication: z
    .strictObject({ name: identifier('safetykit'), columns: z.enum(['all', 'mapped']).default('all') })
    .prefault({}),
  slot: z
    .strictObject({
      name: z
        .string()
        .regex(/^[a-z0-9_]{1,63}$/, 'has to be of 1 to 63 lower-case letters, digits and underscores')
        .default('safetykit'),
      onLost: z.enum(['recreate', 'stop']).default('recreate'),
    })
    .prefault({}),
  spill: z.strictObject({ afterMs: countMs(minutes), lagBytes: count(1024 ** 3) }).prefault({}),
  heartbeat: z
    .strictObject({
      everyMs: z.int().positive('has to be above 0').max(maxTimerMs, tooLong).nullable().default(15_000),
      deadlineMs: countMs(30_000),
    })
    .prefault({}),
  delivery: z
    .strictObject({
      maxBatchObjects: count(100),
      maxBatchBytes: count(1024 * 1024),
      maxBatchAgeMs: waitMs(25),
      maxConcurrency: count(16),
      requestTimeoutMs: countMs(30_000),
      retryBaseMs: countMs(250),
      retryMaxMs: countMs(30_000),
    })
    .prefault({}),
  parking: z
    .strictObject({
      retryAfterMs: z
        .array(z.int().nonnegative('has to be 0 or more'))
        .default([minutes, 5 * minutes, 30 * minutes, 2 * hours, 6 * hours, 24 * hours]),
    })
    .prefault({}),
  maxPendingBytes: count(8 * 1024 * 1024),
  import: z
    .strictObject({
      minObjects: wait(5_000),
      maxPartBytes: count(64 * 1024 * 1024),
      maxPartObjects: count(250_000),
      spoolDirectory: z.string().min(1, 'has to be a path').nullable().default(null),
    })
    .prefault({}),
  scan: z.strictObject({ every: duration.optional() }).prefault({}),
  results: z.enum(['poll', 'webhook', 'off']).default('poll'),
  onResult: callback<(evaluation: Evaluation) => unknown>().optional(),
})

const apiSettings = {
  content_type: z.enum(contentTypes).optional(),
  display_hint: z
    .strictObject({ type: z.enum(displayHints), name: z.string().exactOptional(), order: z.number().exactOptional() })
    .optional(),
  field_limit: z.number().positive('has to be above 0').optional(),
  namespace_ref: namespace.optional(),
  belongs_to: z.json().optional(),
  unchecked: z.record(z.string(), z.json()).optional(),
}

export const fieldShape = z.strictObject({ as: sentName.optional(), ...apiSettings })
export const computedShape = z.strictObject({ value: callback<(row: MappedRow) => unknown>(), ...apiSettings })

/** A mapping without what is checked part by part, so that a mistake in one part does not hide those in others. */
export const mappingShape = z.strictObject({
  namespace,
  fields: z.unknown().optional(),
  id: z.unknown().optional(),
  computed: z.unknown().optional(),
  where: callback<(row: MappedRow) => boolean>().optional(),
  onDelete: z.enum(['ignore', 'tombstone']).default('ignore'),
  deliver: z.enum(['latest', 'every']).default('latest'),
})

export const idShape = z.strictObject({
  fields: z.unknown().optional(),
  join: z.string().default(':'),
  prefix: z.string().default(''),
})

/** The settings that an object at this path may have. */
export function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema
  for (const key of path) at = shapeOf(at)[String(key)]
  return Object.keys(shapeOf(at))
}

function shapeOf(schema: unknown): Readonly<Record<string, unknown>> {
  if (schema instanceof z.ZodObject) return schema.shape
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return shapeOf(schema.unwrap())
  }
  return {}
}
