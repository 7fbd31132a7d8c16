import { z } from 'zod'

/** `POST /v1/data/{namespace}`: unknown fields are let through, the promised ones must be there. */
const addAnswer = z.object({ requestId: z.string().min(1), status: z.string() })

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

/** Whether the answer to a settings call is the contract's. */
export const isSettingsAnswer = (text: string): boolean => parsed(settingsAnswer, text) !== null

/** The API's own words for a refusal, at most 500 characters. */
export const readRefusal = (text: string): string => (parsed(refusal, text) ?? text.trim()).slice(0, 500)
