import { z } from 'zod'
import type { Evaluation, EvaluationOutput } from '../evaluation.js'

// What the API says of requests and objects. What it says beyond its contract is let through.

// An id that no object of the ledger can have: Postgres takes no U+0000.
const isText = (id: string): boolean => !id.includes('\u0000')

const output = z.looseObject({
  labels: z.array(z.looseObject({ label: z.string() })).default([]),
  actions: z.array(z.unknown()).default([]),
  fields: z.record(z.string(), z.unknown()).default({}),
})

const result = z.object({
  id: z.string().refine(isText),
  status: z.string().optional(),
  output: output.nullish(),
  url: z.string().nullish(),
  error: z.unknown().optional(),
})

const statusAnswer = z.object({
  status: z.string().min(1),
  data: z.array(z.unknown()).nullish(),
  data_url: z.string().nullish(),
  data_count: z.number().nullish(),
  error: z.unknown().optional(),
})

/** `GET /v1/data/{namespace}/requests/{requestId}`. */
export interface StatusAnswer {
  /** `queued`, `uploading`, `ingesting`, `succeeded` or `failed`; the API may know more words. */
  readonly status: string
  /** Of an add that succeeded; each to be read with {@link readResult}. */
  readonly data: readonly unknown[]
  /** Of an import that succeeded. Whoever has it can read the results: it stands in no log, error or table. */
  readonly dataUrl: string | null
  readonly dataCount: number | null
  /** Why it failed. */
  readonly error: string | null
}

/** `null` where the answer is not the contract's. */
export function readStatusAnswer(text: string): StatusAnswer | null {
  const answer = statusAnswer.safeParse(parseJson(text))
  if (!answer.success) return null
  const { status, data, data_url: dataUrl, data_count: dataCount, error } = answer.data
  return { status, data: data ?? [], dataUrl: dataUrl ?? null, dataCount: dataCount ?? null, error: wordsOf(error) }
}

/** One result of an add, or a line of an import's; `null` where it is not the contract's. */
export function readResult(value: unknown, of: Pick<Evaluation, 'namespace' | 'requestId'>): Evaluation | null {
  const read = result.safeParse(value)
  if (!read.success) return null
  const { id, status, url, error } = read.data
  const failed = status === 'failed' || (read.data.output == null && error != null)
  return {
    ...of,
    objectId: id,
    status: failed ? 'failed' : 'succeeded',
    output: failed ? null : outputOf(read.data.output),
    url: url ?? null,
    error: failed ? wordsOf(error) : null,
  }
}

const named = z.string().min(1).max(1_000).refine(isText)
const ofObject = { namespace: named, id: named, request_id: named, url: z.string().nullish() }
const webhookEvent = z.discriminatedUnion('type', [
  z.object({ type: z.literal('workflow.succeeded'), ...ofObject, output: output.nullish() }),
  z.object({ type: z.literal('workflow.failed'), ...ofObject, error: z.unknown().optional() }),
])

/**
 * The body of a webhook: what it says of an object, `unknown` where it is of another type than these, `null` where it is
 * not the contract's.
 */
export function readWebhook(value: unknown): Evaluation | { readonly unknown: string } | null {
  const event = webhookEvent.safeParse(value)
  if (event.success) {
    const { data } = event
    const succeeded = data.type === 'workflow.succeeded'
    return {
      namespace: data.namespace,
      objectId: data.id,
      requestId: data.request_id,
      status: succeeded ? 'succeeded' : 'failed',
      output: succeeded ? outputOf(data.output) : null,
      url: data.url ?? null,
      error: succeeded ? null : wordsOf(data.error),
    }
  }
  const other = z.object({ type: named }).safeParse(value)
  if (!other.success || /^workflow\.(succeeded|failed)$/.test(other.data.type)) return null
  return { unknown: other.data.type }
}

/** `undefined` where the text is not JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

const outputOf = (given: z.infer<typeof output> | null | undefined): EvaluationOutput =>
  given ?? { labels: [], actions: [], fields: {} }

/** The API's own words, at most 500 characters. */
function wordsOf(error: unknown): string | null {
  if (error === undefined || error === null) return null
  if (typeof error === 'string') return error.slice(0, 500)
  const said = z.object({ message: z.string() }).safeParse(error)
  return (said.success ? said.data.message : JSON.stringify(error)).slice(0, 500)
}
