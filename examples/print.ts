import { paintFor } from '../src/cli/terminal.js'

const paint = paintFor(process.stdout)

export const bold = (text: string): string => paint('bold', text)
export const dim = (text: string): string => paint('dim', text)

export function line(text = ''): void {
  process.stdout.write(`${text}\n`)
}

export function heading(text: string): void {
  line(`\n${paint(['bold', 'cyan'], text)}`)
}

export function done(text: string): void {
  line(`  ${paint('green', '✓')} ${text}`)
}

export function failed(text: string): void {
  process.stderr.write(`\n${paintFor(process.stderr)(['bold', 'red'], '✗ It failed:')} ${text}\n`)
}

/** Code as the user would type it. */
export function code(text: string): void {
  line(
    text
      .split('\n')
      .map((one) => `  ${paint('yellow', one)}`)
      .join('\n'),
  )
}

/** Columns as wide as their longest cell, the names of the columns above. */
export function table(rows: readonly Readonly<Record<string, unknown>>[]): void {
  const names = Object.keys(rows[0] ?? {})
  const lines = [names, ...rows.map((row) => names.map((name) => cell(row[name])))]
  const widths = names.map((_, column) => Math.max(...lines.map((cells) => (cells[column] ?? '').length)))
  for (const [index, cells] of lines.entries()) {
    const text = cells.map((text, column) => text.padEnd(widths[column] ?? 0)).join('  ')
    line(`  ${index === 0 ? dim(text.trimEnd()) : text.trimEnd()}`)
  }
}

function cell(value: unknown): string {
  if (value === null || value === undefined) return '–'
  if (value instanceof Date) return value.toISOString()
  return typeof value === 'object' ? JSON.stringify(value) : String(value)
}
