import { expect } from 'vitest'
import type { Marked } from './database.js'
import type { Scenario } from './scenario.js'
import type { Source } from './tables.js'

interface Change extends Marked {
  readonly op: 'is' | 'gone'
}

interface Happened {
  readonly changes: readonly Change[]
  readonly marks: readonly Marked[]
}

const line = ({ xid, source, key }: Marked): string => `${source} ${key} in ${xid}`
const lines = (marked: readonly Marked[]): string[] => [...new Set(marked.map(line))].sort()

/** What was marked is what changed, in the same transactions. */
export function expectMarked(capture: 'trigger' | 'client', scenario: Scenario, happened: Happened): void {
  if (scenario.leavesNoMark === true) expect(lines(happened.marks)).toEqual([])
  if (capture === 'trigger') expect(lines(happened.marks)).toEqual(lines(happened.changes))
  else expectCovered(scenario, happened)
}

/**
 * Keys may be more than what changed (an update to what is there), and so may marks of whole tables where the scenario has
 * any; where it has none, a scan would be for nothing.
 */
function expectCovered({ wholeTables, goneIsScanned = false }: Scenario, { changes, marks }: Happened): void {
  if (wholeTables === undefined && !goneIsScanned) expect(lines(marks.filter(({ key }) => key === null))).toEqual([])
  const mayBeWhole = (source: string): boolean =>
    wholeTables === 'all' || wholeTables?.includes(source as Source) === true
  const marked = new Set(marks.map(line))
  const missing = changes.filter((change) => {
    if (change.op === 'gone' && isStillThere(change, changes)) return false
    if (marked.has(line(change))) return false
    const whole = mayBeWhole(change.source) || (goneIsScanned && change.op === 'gone')
    return !(whole && marked.has(line({ ...change, key: null })))
  })
  expect(lines(missing)).toEqual([])
}

/** An author whose address has changed: only the contact of that name is gone, which no one is told of. */
function isStillThere({ source, key }: Change, changes: readonly Change[]): boolean {
  const id = (text: string | null): unknown => (JSON.parse(text ?? '{}') as { id?: string }).id
  return (
    source === 'public.authors' &&
    changes.some((other) => other.op === 'is' && other.source === source && id(other.key) === id(key))
  )
}
