import type { BackfillProgress, BackfillReport } from '../pipeline/backfill/report.js'
import type { LiveLines } from './live-lines.js'
import { type Course, follow } from './progress.js'
import { doneEvent, type ProgressEvent, progressEvent, stoppedEvent, tableEvent } from './progress-events.js'
import { formatCourse, formatEnd } from './progress-text.js'
import type { Paint } from './terminal.js'

export interface DisplayOptions {
  /** Where the bars are drawn; `null`: nowhere. */
  readonly lines: LiveLines | null
  readonly paint: Paint
  /** Is given the events; `null`: nobody wants them. */
  readonly emit: ((event: ProgressEvent) => void) | null
  /** The time, in milliseconds. */
  readonly now: () => number
}

const betweenEventsMs = 2_000
/** A table of which nothing is told is standing still, and its rate falls. */
const silenceMs = 1_000

/** Shows how a backfill goes: a bar for each table, events, or both. */
export class ProgressDisplay {
  readonly #options: DisplayOptions
  readonly #startedAtMs: number
  readonly #courses = new Map<string, Course>()
  readonly #done = new Set<string>()
  #toldAtMs: number

  constructor(options: DisplayOptions) {
    this.#options = options
    this.#startedAtMs = options.now()
    this.#toldAtMs = this.#startedAtMs
  }

  get seconds(): number {
    return (this.#options.now() - this.#startedAtMs) / 1_000
  }

  follow(progress: BackfillProgress): void {
    const { source } = progress
    if (this.#done.has(source)) return
    const course = follow(this.#courses.get(source), progress, this.#options.now())
    if (progress.phase === 'done') this.#end(course)
    else this.#courses.set(source, course)
  }

  /** Draws the bars again, and gives events when it is time for them. To be called ten times a second. */
  tick(): void {
    const { emit, now } = this.#options
    const atMs = now()
    for (const [source, course] of this.#courses) {
      if (course.pace === undefined || atMs - course.pace.atMs < silenceMs) continue
      this.#courses.set(source, follow(course, course.progress, atMs))
    }
    this.#draw()
    if (emit === null || atMs - this.#toldAtMs < betweenEventsMs) return
    this.#toldAtMs = atMs
    for (const course of this.#courses.values()) emit(progressEvent(course, atMs))
  }

  /** All tables are done; `parked`: how many objects SafetyKit has refused meanwhile. */
  finish(report: BackfillReport, parked = 0): void {
    for (const table of report.tables) {
      this.follow({ ...table, phase: 'done', estimatedRows: null, waiting: 0 })
    }
    this.#options.lines?.end()
    this.#options.emit?.(doneEvent({ ...report, parked }, this.#startedAtMs, this.#options.now()))
  }

  /** A signal has ended it; the bars stay as they are. */
  stopped(signal: string): void {
    this.leave()
    this.#options.emit?.(stoppedEvent(signal, this.#startedAtMs, this.#options.now()))
  }

  /** Gives the terminal back. */
  leave(): void {
    this.#options.lines?.end()
  }

  #end(course: Course): void {
    const { emit, lines, now, paint } = this.#options
    const { source } = course.progress
    this.#courses.delete(source)
    this.#done.add(source)
    emit?.(tableEvent(course.progress, course.startedAtMs, now()))
    if (lines === null) return
    this.#draw()
    lines.above(formatEnd(course, now(), { width: lines.width, paint }))
  }

  #draw(): void {
    const { lines, paint } = this.#options
    if (lines === null) return
    const courses = [...this.#courses.values()]
    const nameWidth = Math.max(0, ...courses.map(({ progress }) => progress.source.length))
    lines.draw(courses.map((course) => formatCourse(course, { width: lines.width, paint, nameWidth })))
  }
}
