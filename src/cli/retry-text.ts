import { nearest } from '../config/nearest.js'
import type { RefusedGroup, RetryFilter, RetryReport } from '../operate/retry-report.js'
import type { Paint } from './terminal.js'

/** Whether nothing that is refused was asked for. */
export const nothingFound = ({ objects, waiting, unmapped }: RetryReport): boolean => objects + waiting + unmapped === 0

/** What is sent again, and what has to run for it. */
export function formatRetry(report: RetryReport, deliver: 'inline' | 'sidecar', paint: Paint): string {
  const { dryRun, objects, groups, waiting, unmapped } = report
  const lines = [
    objects === 0
      ? 'Nothing to do'
      : dryRun
        ? `${counted(objects)} would be sent again (--dry-run: nothing was changed)`
        : `${paint('green', '✓')} ${counted(objects)} ${objects === 1 ? 'is' : 'are'} to be sent again`,
  ]
  const width = Math.max(...groups.map(({ namespace }) => namespace.length))
  for (const group of groups) lines.push(`    ${group.namespace.padEnd(width)}  ${kind(group)}`)
  if (waiting > 0) {
    lines.push(`${counted(waiting)} ${waiting === 1 ? 'waits' : 'wait'} already to be sent, and ${left(waiting)}`)
  }
  if (unmapped > 0) {
    const why = `of a table or a namespace that is not mapped any more, and ${left(unmapped)}`
    lines.push(`${counted(unmapped)} ${unmapped === 1 ? 'is' : 'are'} ${why}`)
  }
  if (!dryRun && objects + waiting > 0) lines.push(whoSends(report, deliver))
  return lines.join('\n')
}

function whoSends({ delivering }: RetryReport, deliver: 'inline' | 'sidecar'): string {
  if (delivering > 0) {
    const who = delivering === 1 ? 'A process that delivers was' : `${delivering} processes that deliver were`
    return `→ ${who} heard of within the last minute: they are taken up within seconds. safetykit-sync status shows it.`
  }
  const or = deliver === 'inline' ? ', or the application with the extension' : ''
  return `→ No process that delivers was heard of within the last minute. For them to be sent, this has to run: safetykit-sync run${or}`
}

/** What there is instead of what was asked for. */
export function formatNothing(filter: RetryFilter, there: readonly RefusedGroup[]): string {
  if (there.length === 0) return 'Nothing to do: no object is parked or dead'
  const lines = ['Nothing to do: no parked or dead object fits']
  for (const [what, asked, known] of [
    ['namespace', filter.namespaces, there.map(({ namespace }) => namespace)],
    ['code', filter.codes, there.flatMap(({ code }) => code ?? [])],
  ] as const) {
    for (const name of asked ?? []) {
      if (known.includes(name)) continue
      const close = nearest(name, known)
      lines.push(
        `→ Nothing is refused with the ${what} ${name}.${close === undefined ? '' : ` Did you mean ${close}?`}`,
      )
    }
  }
  lines.push('There are:')
  const width = Math.max(...there.map(({ namespace }) => namespace.length))
  for (const group of there) lines.push(`    ${group.namespace.padEnd(width)}  ${kind(group)}`)
  return lines.join('\n')
}

const counted = (objects: number): string => `${objects} ${objects === 1 ? 'object' : 'objects'}`
const left = (objects: number): string => (objects === 1 ? 'is left as it is' : 'are left as they are')
const kind = ({ code, state, objects }: RefusedGroup): string => `${code ?? 'without a code'}  ${objects} ${state}`
