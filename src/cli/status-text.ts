import type {
  Count,
  DirtyReport,
  Problem,
  ProcessReport,
  RefusedObject,
  SlotReport,
  StatusReport,
} from '../operate/status.js'
import type { Paint } from './terminal.js'

/** The report for people: aligned, in a few lines. */
export function formatStatus(report: StatusReport, paint: Paint): string {
  const { slot, refused } = report
  const parts = [
    ...(report.problems.length === 0 ? [] : [section('problems', report.problems.flatMap(problemLines(paint)), paint)]),
    ...(slot === null ? [] : [section('slot', slotLines(slot, paint), paint)]),
    ...(report.processes.length === 0 ? [] : [section('processes', processLines(report.processes), paint)]),
    section(
      'objects',
      table(
        ['namespace', 'accepted', 'parked', 'dead'],
        report.objects.map((one) => [one.namespace, count(one.accepted), count(one.parked), count(one.dead)]),
      ),
      paint,
    ),
    section(
      'requests',
      table(
        ['status', 'requests'],
        report.requests.map((one) => [one.status, count(one)]),
      ),
      paint,
    ),
    section('waiting', [...waitingLines(report.dirty), ...workLines(report)], paint),
  ]
  const retries = [
    ...(refused.due > 0 ? [`${refused.due} due now`] : []),
    ...(refused.nextRetryAt === null ? [] : [`the next one is due at ${refused.nextRetryAt}`]),
  ]
  if (retries.length > 0) parts.push(section('retries', [retries.join(', ')], paint))
  if (report.lastErrors.length > 0) {
    parts.push(
      section(
        'last errors',
        report.lastErrors.flatMap((one) => errorLines(one, paint)),
        paint,
      ),
    )
  }
  return parts.join('\n\n')
}

const problemLines =
  (paint: Paint) =>
  ({ code, message, hint }: Problem): string[] => [
    paint('red', `${code}: ${message}`),
    ...(hint === null ? [] : hint.split('\n').map((line, at) => `${at === 0 ? '→ ' : '  '}${line}`)),
  ]

function workLines({ slot, work }: StatusReport): string[] {
  const workers = work.workers === 1 ? '1 worker is busy' : `${work.workers} workers are busy`
  const scans = work.scans.map(({ source, startedAt }) => `${source} is being scanned since ${startedAt}`)
  return [...(slot === null ? [workers] : []), ...scans]
}

function processLines(processes: readonly ProcessReport[]): string[] {
  const rows = processes.map(({ state, forSeconds, heardSeconds, heard, roundTripMs }) => [
    heard ? state : `gone (was ${state})`,
    heard ? duration(forSeconds) : '',
    duration(heardSeconds),
    roundTripMs === null ? '' : duration(roundTripMs / 1_000),
  ])
  return table(['state', 'for', 'heard of', 'through the WAL'], rows)
}

function slotLines(slot: SlotReport, paint: Paint): string[] {
  const state = slot.active
    ? paint('green', `a sidecar is connected (Postgres process ${slot.activePid})`)
    : paint('yellow', 'no sidecar is connected')
  const lines: [string, string][] = [['name', slot.name]]
  if (slot.problem === null || slot.problem.code !== 'SLOT_MISSING') {
    lines.push(['state', `${state}, wal_status ${slot.walStatus ?? 'unknown'}`])
    lines.push(['behind', `${bytes(slot.lagBytes)}, ${lagTime(slot)}`])
    const limit = slot.safeWalSizeBytes === null ? '' : `, lost after ${bytes(slot.safeWalSizeBytes)} more`
    lines.push([
      'confirmed',
      `${slot.confirmedFlushLsn ?? 'nothing'}; the server keeps ${bytes(slot.retainedBytes)} of WAL${limit}`,
    ])
  }
  if (slot.problem !== null) {
    lines.push(['problem', paint('red', `${slot.problem.code}: ${slot.problem.message}`)])
    if (slot.problem.hint !== null) lines.push(['', `→ ${slot.problem.hint}`])
  }
  const width = Math.max(...lines.map(([name]) => name.length))
  return lines.map(([name, text]) => `${name.padEnd(width)}  ${text}`)
}

function lagTime(slot: SlotReport): string {
  if (slot.lagSeconds === null) {
    return slot.active
      ? 'time unknown (the role needs: GRANT pg_read_all_stats, or the sidecar has only just connected)'
      : 'time unknown'
  }
  const time = duration(slot.lagSeconds)
  switch (slot.lagBasis) {
    case 'caught-up':
      return 'caught up'
    case 'inactive-since':
      return `disconnected for ${time}`
    case 'last-acceptance':
      return `${time} since the last request was accepted`
    default:
      return slot.lagSecondsAtLeast ? `at least ${time}` : time
  }
}

function waitingLines(dirty: DirtyReport): string[] {
  const age = dirty.oldestAgeSeconds === null ? '' : `, the oldest for ${duration(dirty.oldestAgeSeconds)}`
  const lines = [`${count(dirty)} ${dirty.count === 1 ? 'key' : 'keys'}${age}`]
  const keys = dirty.bySource.map((one) => [
    one.source,
    `${dirty.estimated ? '≥' : ''}${number(one.count)}`,
    duration(one.oldestAgeSeconds),
  ])
  const whole = dirty.wholeTables.map((one) => [one.source, 'whole table', duration(one.oldestAgeSeconds)])
  if (keys.length + whole.length > 0) lines.push(...table(['table', 'keys', 'oldest'], [...keys, ...whole]))
  return lines
}

function errorLines(one: RefusedObject, paint: Paint): string[] {
  const when = one.refusedAt === null ? '' : `${one.refusedAt}  `
  const next = one.state === 'dead' ? 'dead' : `parked, retried at ${one.retryAt ?? 'no time'}`
  const attempts = `${one.attempts} ${one.attempts === 1 ? 'attempt' : 'attempts'}`
  return [
    `${when}${paint('bold', `${one.namespace}/${one.id}`)}  ${paint('red', one.code ?? 'UNKNOWN')}  (${next}, ${attempts})`,
    ...(one.message === null ? [] : [`  ${one.message}`]),
  ]
}

function section(title: string, lines: readonly string[], paint: Paint): string {
  return [paint('bold', title), ...lines.map((line) => `  ${line}`)].join('\n')
}

/** Columns as wide as their longest cell; the first to the left, the others to the right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return ['none']
  const all = [head, ...rows]
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? '').length)))
  return all.map((row) =>
    row
      .map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0)))
      .join('  ')
      .trimEnd(),
  )
}

const number = (value: number): string => value.toLocaleString('en-US')

const count = (value: Count): string => `${value.estimated ? '~' : ''}${number(value.count)}`

function bytes(value: number | null): string {
  if (value === null) return 'an unknown amount'
  const units = ['bytes', 'KiB', 'MiB', 'GiB', 'TiB']
  const power = value < 1_024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(value) / 10))
  const scaled = value / 1_024 ** power
  return `${power === 0 ? scaled : scaled.toFixed(1)} ${units[power]}`
}

function duration(seconds: number): string {
  if (seconds < 1) return `${Math.round(seconds * 1_000)} ms`
  if (seconds < 120) return `${seconds.toFixed(1)} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3_600)} h`
  return `${Math.round(seconds / 86_400)} days`
}
