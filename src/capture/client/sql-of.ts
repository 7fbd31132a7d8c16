/** The SQL of a raw query's arguments: `Prisma.sql`, typed SQL, or the text and its values. */
export function sqlOf(args: unknown): string {
  if (Array.isArray(args)) return typeof args[0] === 'string' ? args[0] : fragment(args[0])
  return fragment(args)
}

/** The SQL of a template with its values, among which may be fragments of SQL. */
export function templateSql(strings: readonly unknown[], values: readonly unknown[]): string {
  return strings.map((text, index) => `${text}${fragment(values[index]) || '?'}`).join('')
}

function fragment(value: unknown): string {
  const sql = typeof value === 'object' && value !== null ? Reflect.get(value, 'sql') : undefined
  return typeof sql === 'string' ? sql : ''
}
