import type { BackfillReport } from '../pipeline/backfill/report.js'
import { type Course, estimate } from './progress.js'
import { table } from './status-text.js'
import type { Paint } from './terminal.js'

export interface LineOptions {
  /** In characters. */
  readonly width: number
  readonly paint: Paint
  /** Names are padded to it, so that lines stand below each other. Default: 0. */
  readonly nameWidth?: number
}

interface Part {
  readonly text: string
  readonly format?: Parameters<Paint>[0]
  /** Where a line is too narrow, parts with the highest one are left out first. */
  readonly rank: number
  /** Made wider where there is room. */
  readonly bar?: { readonly fraction: number }
}

const gap = 2
const barWidth = { least: 8, most: 30 } as const

/** A table on its way, in one line that is no wider than asked for. */
export function formatCourse(course: Course, options: LineOptions): string {
  const { source, rows } = course.progress
  const { fraction, rowsPerSecond, secondsLeft, sent } = estimate(course)
  const parts: Part[] = [
    { text: shown(source).padEnd(options.nameWidth ?? 0), format: 'bold', rank: 0 },
    ...(fraction === null
      ? [{ text: `${number(rows)} rows`, rank: 1 }]
      : [
          { text: ' '.repeat(barWidth.least), format: 'cyan' as const, rank: 4, bar: { fraction } },
          { text: `${Math.floor(fraction * 100)}%`.padStart(4), rank: 1 },
        ]),
    ...(rowsPerSecond === null ? [] : [{ text: `${number(rounded(rowsPerSecond))} rows/s`, rank: 6 }]),
    { text: `${number(sent)} sent`, rank: 5 },
    ...(secondsLeft === null ? [] : [{ text: `${formatDuration(secondsLeft)} left`, rank: 2 }]),
    { text: phaseText(course), format: 'dim', rank: 3 },
  ]
  return fitted(parts, options)
}

/** A table that is done, in one line that is no wider than asked for. */
export function formatEnd({ progress, startedAtMs }: Course, atMs: number, options: LineOptions): string {
  const { source, rows, inStep, imported, queued, refused } = progress
  const parts: Part[] = [
    { text: shown(source).padEnd(options.nameWidth ?? 0), format: 'bold', rank: 0 },
    { text: 'done', format: 'green', rank: 1 },
    { text: `${number(rows)} rows`, rank: 4 },
    { text: `${number(inStep)} in step`, rank: 5 },
    { text: `${number(imported + queued)} sent`, rank: 2 },
    ...(refused === 0 ? [] : [{ text: `${number(refused)} refused`, format: 'yellow' as const, rank: 3 }]),
    { text: `in ${formatDuration((atMs - startedAtMs) / 1_000)}`, rank: 6 },
  ]
  return fitted(parts, options)
}

/** What became of all tables, for people; `parked`: how many of the objects that were sent SafetyKit has refused. */
export function formatReport({ tables }: BackfillReport, seconds: number, paint: Paint, parked = 0): string {
  const [head = '', ...lines] = table(
    ['table', 'rows', 'in step', 'imported', 'queued', 'refused'],
    tables.map((one) => [
      shown(one.source),
      ...[one.rows, one.inStep, one.imported, one.queued, one.refused].map(number),
    ]),
  )
  const sent = tables.reduce((sum, { imported, queued }) => sum + imported + queued, 0)
  const said = sent === 0 ? 'Nothing was to be sent' : `${number(sent)} ${sent === 1 ? 'object' : 'objects'} sent`
  const verdict =
    parked === 0 ? `${paint('green', '✓')} ${said}` : `${paint('yellow', '!')} ${said}, ${number(parked)} refused`
  return [paint('bold', head), ...lines, '', `${verdict}, in ${formatDuration(seconds)}`].join('\n')
}

/** Where to look for what was refused. */
export const formatParked = (parked: number): string =>
  `${number(parked)} ${parked === 1 ? 'object was' : 'objects were'} refused, and ${parked === 1 ? 'is' : 'are'} tried again by a worker: safetykit-sync status shows why, safetykit-sync retry sends what was given up.`

/** Two units at most: `42 s`, `4 min 12 s`, `1 h 5 min`, `3 days`. */
export function formatDuration(seconds: number): string {
  const whole = Math.ceil(seconds)
  if (whole < 60) return `${whole} s`
  if (whole < 3_600) return two(Math.floor(whole / 60), 'min', whole % 60, 's')
  const minutes = Math.round(seconds / 60)
  if (minutes < 2_880) return two(Math.floor(minutes / 60), 'h', minutes % 60, 'min')
  return `${Math.round(minutes / 1_440)} days`
}

const two = (large: number, largeUnit: string, small: number, smallUnit: string): string =>
  small === 0 ? `${large} ${largeUnit}` : `${large} ${largeUnit} ${small} ${smallUnit}`

function phaseText({ progress: { phase, waiting } }: Course): string {
  switch (phase) {
    case 'waiting':
      return 'waiting for its turn'
    case 'scanning':
      return 'reading the rows'
    case 'importing':
      return 'sending the last imports'
    case 'delivering':
      return waiting === 0 ? 'delivering the rest' : `delivering the rest, ${number(waiting)} wait`
    case 'done':
      return 'done'
  }
}

function fitted(parts: readonly Part[], { width, paint }: LineOptions): string {
  const ranks = [...new Set(parts.map(({ rank }) => rank))].sort((a, b) => b - a)
  for (const most of ranks) {
    const left = parts.filter(({ rank }) => rank <= most)
    const spare = width - widthOf(left)
    if (spare >= 0) return joined(left, spare, paint)
  }
  return cut(parts[0]?.text.trimEnd() ?? '', width)
}

const widthOf = (parts: readonly Part[]): number =>
  parts.reduce((sum, { text }) => sum + [...text].length, gap * (parts.length - 1))

function joined(parts: readonly Part[], spare: number, paint: Paint): string {
  return parts
    .map(({ text, format, bar }) => {
      const said = bar === undefined ? text : barText(bar.fraction, Math.min(barWidth.most, barWidth.least + spare))
      return format === undefined ? said : paint(format, said)
    })
    .join(' '.repeat(gap))
}

function barText(fraction: number, width: number): string {
  const full = Math.floor(fraction * width)
  return '█'.repeat(full) + '░'.repeat(width - full)
}

function cut(text: string, width: number): string {
  const characters = [...text]
  if (characters.length <= width) return text
  return width < 1 ? '' : `${characters.slice(0, width - 1).join('')}…`
}

/** A quoted identifier may hold anything, also what moves the cursor. */
const shown = (name: string): string => name.replace(/\p{Cc}/gu, '?')

const number = (value: number): string => value.toLocaleString('en-US')

/** The last digits of a rate change with every look and say nothing. */
const rounded = (value: number): number => (value < 1_000 ? Math.round(value) : Number(value.toPrecision(3)))
