/** A value in the text format of COPY; `null` is `\N`. */
export function copyValue(value: string | null): string {
  if (value === null) return '\\N'
  return needsEscape.test(value) ? value.replace(escaped, (character) => escapes[character] ?? character) : value
}

/** The value of a text of {@link copyValue} that was read as latin1: a character for each byte. */
export function parseCopyValue(bytes: string | null): string | null {
  if (bytes === null || bytes === '\\N') return null
  const text = Buffer.from(bytes, 'latin1').toString('utf8')
  return text.includes('\\')
    ? text.replace(/\\(.)/g, (_, character: string) => unescapes[character] ?? character)
    : text
}

const needsEscape = /[\\\t\n\r]/
const escaped = /[\\\t\n\r]/g
const escapes: Readonly<Record<string, string>> = { '\\': '\\\\', '\t': '\\t', '\n': '\\n', '\r': '\\r' }
const unescapes: Readonly<Record<string, string>> = { t: '\t', n: '\n', r: '\r' }
