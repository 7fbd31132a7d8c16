import { z } from 'zod'

/** `POST /v1/data/{namespace}`: unknown fields are let through, the promised ones must be there. */
const addAnswer = z.object({ requestId: z.string().min(1), status: z.string() })

/** `POST /v1/data/{namespace}/import` */
const importAnswer = z.object({ requestId: z.string().min(1), objectKey: z.string(), upload_url: z.url() })

/** `GET /v1/data/{namespace}/requests/{requestId}` */
const statusAnswer = z.object({ status: z.string() })

/** `PUT /v1/data/{namespace}/settings` */
const settingsAnswer = z.object({ namespace: z.string(), status: z.string() })

const refusal = z.union([
  z.object({ error: z.object({ message: z.string() }) }).transform((body) => body.error.message),
  z.object({ error: z.string() }).transform((body) => body.error),
  z.object({ message: z.string() }).transform((body) => body.message),
])

const parsed = <T>(schema: z.ZodType<T>, text: string): T | null => {
  try {
    const result = schema.safeParse(JSON.parse(text))
    return result.success ? result.data : null
  } catch {
    return null
  }
}

/** The request's id of an accepted add; `null` where the answer is not the contract's. */
export const readAddAnswer = (text: string): { readonly requestId: string } | null => parsed(addAnswer, text)

/** An import that waits for its file. */
export interface StartedImport {
  readonly requestId: string
  readonly objectKey: string
  /** Whoever has it can upload: it stands in no log, error or table. */
  readonly uploadUrl: string
}

/** `null` where the answer is not the contract's. */
export function readImportAnswer(text: string): StartedImport | null {
  const answer = parsed(importAnswer, text)
  return answer === null
    ? null
    : { requestId: answer.requestId, objectKey: answer.objectKey, uploadUrl: answer.upload_url }
}

/** How far a request has come, in the API's word; `null` where the answer is not the contract's. */
export const readStatusWord = (text: string): { readonly status: string } | null => parsed(statusAnswer, text)

/** Whether the answer to a settings call is the contract's. */
export const isSettingsAnswer = (text: string): boolean => parsed(settingsAnswer, text) !== null

/** The API's own words for a refusal, at most 500 characters. */
export const readRefusal = (text: string): string => (parsed(refusal, text) ?? text.trim()).slice(0, 500)
