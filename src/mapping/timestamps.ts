import { quote } from './json-text.js'

/**
 * timestamp (taken as UTC, as Prisma does) and timestamptz in DateStyle ISO → ISO 8601 in UTC with milliseconds, as
 * `Date#toISOString` writes it. The digits past the millisecond are cut off, before 1970 too: what `new Date(text)` does.
 * Years past 9999 and before 1 are written in JavaScript's extended form (`+012024-…`, `-000043-…`), also those that a Date
 * does not reach; `infinity` and `-infinity` stay as they are.
 */
export function encodeTimestamp(text: string): string {
  const end = text.endsWith('+00') ? text.length - 3 : text.length
  if (!isPlain(text, end)) return encodeUnusual(text)
  const fraction = end === 19 ? '000' : text.slice(20, Math.min(end, 23)).padEnd(3, '0')
  return `"${text.slice(0, 10)}T${text.slice(11, 19)}.${fraction}Z"`
}

/** `2024-01-02 03:04:05.123456`: a year of four digits, no offset, no era. */
function isPlain(text: string, end: number): boolean {
  if (text.charCodeAt(4) !== hyphen || text.charCodeAt(10) !== space) return false
  if (end === 19) return true
  // An offset or an era behind a fraction shows three characters before the end: `.12-03`, `.12 BC`.
  return end > 20 && end <= 26 && text.charCodeAt(19) === dot && text.charCodeAt(end - 3) >= dot
}

const pattern = /^(\d+)-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:([+-]\d\d)(?::(\d\d))?(?::(\d\d))?)?( BC)?$/

function encodeUnusual(text: string): string {
  const match = pattern.exec(text)
  if (match === null) return quote(text)
  const [, years, month, day, hour, minute, second, fraction = '', offset, offsetMinutes, offsetSeconds, era] = match
  const year = era === undefined ? Number(years) : 1 - Number(years)
  // The calendar repeats every 400 years: reckoning in 2000–2399 works for every year, past a Date's range as well.
  const reckoned = 2000 + (((year % 400) + 400) % 400)
  const sign = offset?.startsWith('-') ? -1 : 1
  const offsetOf = (Math.abs(Number(offset ?? 0)) * 60 + Number(offsetMinutes ?? 0)) * 60 + Number(offsetSeconds ?? 0)
  const milliseconds = Number(fraction.slice(0, 3).padEnd(3, '0'))
  const utc = Date.UTC(
    reckoned,
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
    milliseconds,
  )
  const date = new Date(utc - sign * offsetOf * 1000)
  return `"${formatYear(date.getUTCFullYear() - reckoned + year)}${date.toISOString().slice(4)}"`
}

function formatYear(year: number): string {
  if (year >= 0 && year <= 9999) return String(year).padStart(4, '0')
  return `${year < 0 ? '-' : '+'}${String(Math.abs(year)).padStart(6, '0')}`
}

const hyphen = 0x2d
const space = 0x20
const dot = 0x2e
