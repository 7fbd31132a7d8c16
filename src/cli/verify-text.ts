import type { VerifiedMapping, VerifiedTable, VerifyProgress, VerifyReport } from '../pipeline/verify/report.js'
import { table } from './status-text.js'
import type { Paint } from './terminal.js'

const columns = ['missing', 'different', 'parked', 'dead', 'gone', 'untold'] as const

/** The report for people: a line for each mapping, and what follows from it. */
export function formatVerified({ tables, inStep }: VerifyReport, paint: Paint): string {
  const rows = tables.flatMap((one) => one.mappings.map((mapping) => line(one, mapping)))
  const waiting = tables.filter((one) => one.waiting > 0).map(waitingLine)
  const verdict = inStep
    ? paint('green', 'Everything is in step.')
    : `${paint('red', 'Not everything is in step.')} "safetykit-sync backfill" sends what is missing or different, "safetykit-sync status" tells why objects were refused.`
  return [...table(['table', 'namespace', 'rows', 'in step', ...columns], rows), ...waiting, '', verdict].join('\n')
}

const line = ({ source, rows }: VerifiedTable, mapping: VerifiedMapping): string[] => [
  source,
  mapping.namespace,
  number(rows),
  number(mapping.inStep),
  ...columns.map((column) => {
    const count = mapping[column]
    return count === null ? '-' : number(count)
  }),
]

const waitingLine = ({ source, waiting }: VerifiedTable): string =>
  `${source}: ${number(waiting)} ${waiting === 1 ? 'key waits' : 'keys wait'} to be delivered`

export function formatVerifyProgress({ source, rows, estimatedRows }: VerifyProgress): string {
  const of = estimatedRows === null ? '' : ` of about ${number(estimatedRows)}`
  return `${source}  ${number(rows)}${of} rows`
}

const number = (value: number): string => value.toLocaleString('en-US')
