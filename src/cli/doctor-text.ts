import type { DoctorReport, Finding, Status, Step } from '../operate/doctor/doctor.js'
import type { Paint } from './terminal.js'

const marks: Readonly<Record<Status, readonly [mark: string, color: 'green' | 'yellow' | 'red' | 'dim']>> = {
  ok: ['✓', 'green'],
  warning: ['!', 'yellow'],
  failure: ['✗', 'red'],
  skipped: ['-', 'dim'],
}

/** The report for people: a line for each finding by group, then what is to be mended, the failures last. */
export function formatDoctor({ findings, counts }: DoctorReport, paint: Paint): string {
  const groups = [...new Set(findings.map(({ group }) => group))]
  const width = Math.max(...findings.map(({ check }) => check.length))
  const parts = groups.map((group) => {
    const lines = findings.filter((one) => one.group === group).map((one) => line(one, width, paint))
    return [paint('bold', group), ...lines].join('\n')
  })
  const of = (status: Status): Finding[] => findings.filter((one) => one.status === status)
  for (const finding of [...of('warning'), ...of('failure')]) parts.push(detail(finding, paint))
  return [...parts, verdict(counts, paint)].join('\n\n')
}

function line({ status, check, subject, found }: Finding, width: number, paint: Paint): string {
  const [mark, color] = marks[status]
  const said = paint(color === 'green' ? 'reset' : color, `${subject === null ? '' : `${subject}: `}${found}`)
  return `  ${paint(color, mark)} ${check.padEnd(width)}  ${said}`
}

function detail({ status, check, subject, found, why, fix }: Finding, paint: Paint): string {
  const [, color] = marks[status]
  const title = `${paint([color, 'bold'], `${status} ${check}`)}${subject === null ? '' : ` (${subject})`}: ${found}`
  return [title, `  ${why}`, ...fix.flatMap((step) => stepLines(step, paint))].join('\n')
}

function stepLines(step: Step, paint: Paint): string[] {
  if ('do' in step) return [`  → ${step.do}`]
  if ('run' in step) return [`  → ${paint('bold', `$ ${step.run}`)}`]
  const where = step.database === undefined ? '' : `in the database of the ${step.database}: `
  return step.sql.split('\n').map((text, at) => `  ${at === 0 ? `→ ${where}` : '  '}${paint('bold', text)}`)
}

function verdict(counts: DoctorReport['counts'], paint: Paint): string {
  const many = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`
  const said = `${many(counts.failure, 'failure')}, ${many(counts.warning, 'warning')}, ${counts.ok} ok, ${counts.skipped} skipped`
  return paint(counts.failure > 0 ? 'red' : 'green', said)
}
