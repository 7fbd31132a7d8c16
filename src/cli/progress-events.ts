import type { BackfilledTable, BackfillReport } from '../pipeline/backfill/report.js'
import { type Course, estimate } from './progress.js'

/** One line of a backfill's output where nobody looks at a bar. */
export type ProgressEvent =
  | (Course['progress'] & {
      readonly event: 'progress'
      /** ISO 8601, UTC. */
      readonly time: string
      readonly sent: number
      readonly rowsPerSecond: number | null
      readonly secondsLeft: number | null
    })
  | (BackfilledTable & { readonly event: 'table'; readonly time: string; readonly seconds: number })
  | (BackfillReport & {
      readonly event: 'done'
      readonly time: string
      readonly seconds: number
      readonly parked: number
    })
  | { readonly event: 'stopped'; readonly time: string; readonly seconds: number; readonly signal: string }

/** For `--help`. */
export const eventsText = `JSON lines (their field "event"):
  progress  every 2 s for each table that is worked on: source, phase (waiting, scanning, importing, delivering),
            rows, estimatedRows, inStep, sent, imported, imports, queued, refused, waiting, rowsPerSecond, secondsLeft
  table     a table is done: source, rows, inStep, imported, imports, queued, refused, seconds
  done      the last line of a backfill that is done: tables (each as above), seconds, parked
  stopped   the last line of one that was stopped by a signal: signal, seconds
Each has time. "imported" objects were sent by imports; "queued" rows were handed to the delivery of ongoing changes;
"refused" ones SafetyKit has refused before as they are, "parked" ones it has refused now. Of a backfill that goes on, the counts are those of all of it.`

export function progressEvent(course: Course, atMs: number): ProgressEvent {
  const { rowsPerSecond, secondsLeft, sent } = estimate(course)
  return {
    event: 'progress',
    time: iso(atMs),
    ...course.progress,
    sent,
    rowsPerSecond: rowsPerSecond === null ? null : tenths(rowsPerSecond),
    secondsLeft: secondsLeft === null ? null : tenths(secondsLeft),
  }
}

export const tableEvent = (done: BackfilledTable, startedAtMs: number, atMs: number): ProgressEvent => ({
  event: 'table',
  time: iso(atMs),
  ...counts(done),
  seconds: secondsOf(startedAtMs, atMs),
})

export const doneEvent = (
  { tables, parked }: BackfillReport & { readonly parked: number },
  startedAtMs: number,
  atMs: number,
): ProgressEvent => ({
  event: 'done',
  time: iso(atMs),
  tables: tables.map(counts),
  seconds: secondsOf(startedAtMs, atMs),
  parked,
})

export const stoppedEvent = (signal: string, startedAtMs: number, atMs: number): ProgressEvent => ({
  event: 'stopped',
  time: iso(atMs),
  signal,
  seconds: secondsOf(startedAtMs, atMs),
})

/** Not more than these: what is told last of a table has the fields of its progress as well. */
const counts = ({ source, rows, inStep, imported, imports, queued, refused }: BackfilledTable): BackfilledTable => ({
  source,
  rows,
  inStep,
  imported,
  imports,
  queued,
  refused,
})

const iso = (ms: number): string => new Date(ms).toISOString()
const tenths = (value: number): number => Math.round(value * 10) / 10
const secondsOf = (startedAtMs: number, atMs: number): number => Math.round(atMs - startedAtMs) / 1_000
