import { expect } from 'vitest'
import type { Marked } from './database.js'
import type { Scenario } from './scenario.js'
import type { Source } from './tables.js'

interface Happened {
  readonly changes: readonly Marked[]
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

/** Keys may be more than what changed (an update to what is there); marks of whole tables only where the scenario says so. */
function expectCovered({ wholeTables = [] }: Scenario, { changes, marks }: Happened): void {
  const mayBeWhole = (source: string): boolean => wholeTables === 'all' || wholeTables.includes(source as Source)
  const whole = marks.filter(({ key }) => key === null)
  expect(lines(whole.filter(({ source }) => !mayBeWhole(source)))).toEqual([])
  const marked = new Set(marks.map(line))
  const missing = changes.filter((change) => {
    if (marked.has(line(change))) return false
    return !(mayBeWhole(change.source) && marked.has(line({ ...change, key: null })))
  })
  expect(lines(missing)).toEqual([])
}
