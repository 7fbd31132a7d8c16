import type { BackfillProgress } from '../pipeline/backfill/report.js'

/** How fast rows go by: a mean over time, in which what is longer ago weighs less and less. */
export interface Pace {
  readonly atMs: number
  readonly rows: number
  /** The weighted sum of rates, and of the weights: a mean from the first moment on, without a start at zero. */
  readonly sum: number
  readonly weight: number
}

/** What is so long ago weighs about a third. */
const memoryMs = 10_000

/** A rate of less than a second says nothing. */
const leastWeight = 1 - Math.exp(-1_000 / memoryMs)

/** The pace with one more look at how many rows there were. */
export function paced(pace: Pace | undefined, look: { readonly rows: number; readonly atMs: number }): Pace {
  if (pace === undefined) return { ...look, sum: 0, weight: 0 }
  const elapsedMs = look.atMs - pace.atMs
  // Two looks in one millisecond: the rows between them count with the next one.
  if (elapsedMs <= 0) return pace
  const rate = (Math.max(0, look.rows - pace.rows) * 1_000) / elapsedMs
  const kept = Math.exp(-elapsedMs / memoryMs)
  return { ...look, sum: pace.sum * kept + rate * (1 - kept), weight: pace.weight * kept + 1 - kept }
}

/** `null`: too early to tell. */
export const rowsPerSecond = (pace: Pace | undefined): number | null =>
  pace === undefined || pace.weight < leastWeight ? null : pace.sum / pace.weight

/** A table on its way. */
export interface Course {
  readonly progress: BackfillProgress
  /** Only while rows are read. */
  readonly pace: Pace | undefined
  readonly startedAtMs: number
}

/** The course with what was told of it now. */
export function follow(course: Course | undefined, progress: BackfillProgress, atMs: number): Course {
  const pace = progress.phase === 'scanning' ? paced(course?.pace, { rows: progress.rows, atMs }) : undefined
  return { progress, pace, startedAtMs: course?.startedAtMs ?? atMs }
}

/** What follows from a course; `null`: not known, or not yet. */
export interface Estimate {
  /** Of the rows, from 0 to 1; 1 only at the end, since the number of rows is itself an estimate. */
  readonly fraction: number | null
  readonly rowsPerSecond: number | null
  readonly secondsLeft: number | null
  /** Objects that were sent. */
  readonly sent: number
}

export function estimate({ progress, pace }: Course): Estimate {
  const { phase, rows, estimatedRows } = progress
  const rate = rowsPerSecond(pace)
  const rowsLeft = estimatedRows === null ? null : estimatedRows - rows
  return {
    fraction: fractionOf(progress),
    rowsPerSecond: rate,
    secondsLeft:
      phase === 'scanning' && rowsLeft !== null && rowsLeft > 0 && rate !== null && rate > 0 ? rowsLeft / rate : null,
    sent: sentObjects(progress),
  }
}

function fractionOf({ phase, rows, estimatedRows }: BackfillProgress): number | null {
  if (phase === 'done') return 1
  if (estimatedRows === null || estimatedRows <= 0) return null
  if (phase === 'importing' || phase === 'delivering') return 0.99
  return Math.min(0.99, rows / estimatedRows)
}

/** Rows that were handed on count once they do not wait any more; that is known only while nothing else is done. */
function sentObjects({ phase, imported, queued, waiting }: BackfillProgress): number {
  if (phase === 'done') return imported + queued
  return phase === 'delivering' ? imported + Math.max(0, queued - waiting) : imported
}
