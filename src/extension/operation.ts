import { mayWrite } from '../capture/client/plan.js'
import type { Operation } from '../capture/client/prisma-client.js'
import { sqlOf } from '../capture/client/sql-of.js'

export type { Operation, Transaction } from '../capture/client/prisma-client.js'

/**
 * Whether an operation may have changed rows, told cheaply: a write that is taken for a read is only delivered with the next
 * poll, and a query that is not is one look for nothing.
 */
export function isWrite({ model, operation, args }: Pick<Operation, 'model' | 'operation' | 'args'>): boolean {
  if (!mayWrite(model, operation)) return false
  return !operation.startsWith('$queryRaw') || !/^\s*select\b/i.test(sqlOf(args))
}
