/** Postgres takes neither U+0000 nor half a surrogate pair, and the words of others may hold both. */
export const storable = (text: string): string => text.replaceAll('\u0000', '').replace(/\p{Surrogate}/gu, '\ufffd')

/** A JSON value as text that `jsonb` takes. */
export function storableJson(value: unknown): string {
  const text = JSON.stringify(value)
  // Both are written as escapes, which are seldom there; a backslash that is itself escaped only costs the longer way.
  return /\\u(?:0000|d[89a-f])/i.test(text) ? JSON.stringify(cleaned(value)) : text
}

function cleaned(value: unknown): unknown {
  if (typeof value === 'string') return storable(value)
  if (Array.isArray(value)) return value.map(cleaned)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, part]) => [storable(name), cleaned(part)]))
}
