import type { Scenarios } from './scenario.js'
import { failures } from './table/failures.js'
import { keys } from './table/keys.js'
import { nested } from './table/nested.js'
import { others } from './table/others.js'
import { raw } from './table/raw.js'
import { topLevel } from './table/top-level.js'
import { transactions } from './table/transactions.js'
import { types } from './table/types.js'

/** All scenarios, by what they are about. */
export const scenarios: Readonly<Record<string, Scenarios>> = {
  'top-level writes': topLevel,
  'nested writes': nested,
  'raw SQL': raw,
  'keys and foreign keys': keys,
  transactions: transactions,
  'writes that fail': failures,
  types: types,
  'other programs': others,
}
