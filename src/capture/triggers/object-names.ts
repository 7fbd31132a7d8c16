import { createHash } from 'node:crypto'

export type Operation = 'insert' | 'update' | 'delete'

/** What Postgres keeps of a name. */
const maxBytes = 63

/** `public.products.insert`. */
export const functionName = (source: string, operation: Operation): string => shortened(`${source}.${operation}`)

/** `safetykit_insert`: named after the schema, since two syncs with a schema each may capture the same table. */
export const triggerName = (schema: string, operation: Operation): string => shortened(`${schema}_${operation}`)

/** A longer name would be cut by the server, and two tables' names could become one. */
function shortened(name: string): string {
  if (Buffer.byteLength(name) <= maxBytes) return name
  const ending = `~${createHash('sha256').update(name).digest('hex').slice(0, 12)}`
  let start = name
  while (Buffer.byteLength(start) + ending.length > maxBytes) start = [...start].slice(0, -1).join('')
  return start + ending
}
