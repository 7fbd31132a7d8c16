/** A value of Prisma's as text that Postgres reads as the column's type; `undefined` for what is no key. */
export function keyText(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return value
    case 'number':
    case 'bigint':
    case 'boolean':
      return String(value)
    case 'object':
      if (value instanceof Date) return Number.isNaN(value.getTime()) ? undefined : value.toISOString()
      if (value instanceof Uint8Array) return `\\x${Buffer.from(value).toString('hex')}`
      return isDecimal(value) ? value.toFixed() : undefined
    default:
      return undefined
  }
}

/** Prisma's `Decimal`, of whichever copy of it; `toFixed` without digits writes all of them and no exponent. */
const isDecimal = (value: object | null): value is { toFixed(): string } =>
  value !== null && 'toFixed' in value && typeof value.toFixed === 'function'

const integer = /^(0|-?[1-9]\d{0,18})$/
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** Whether Postgres would write the value as it stands here, so that it need not be asked. */
export function isCanonical(text: string, type: string): boolean {
  if (type === 'text' || type.startsWith('character varying')) return true
  if (type === 'integer' || type === 'bigint' || type === 'smallint') return integer.test(text)
  return type === 'uuid' && uuid.test(text)
}
