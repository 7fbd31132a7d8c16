/** int8 → a number as long as a double holds it exactly (|n| ≤ 2^53 − 1), else a string. */
export function encodeInt8(text: string): string {
  return text.length < 16 || Number.isSafeInteger(Number(text)) ? text : `"${text}"`
}

/**
 * float4, float8 → the text, which JSON reads as it is; `NaN` and `±Infinity`, which JSON does not have, as strings.
 * Minus zero is zero, as JavaScript and Postgres' own JSON write it.
 */
export function encodeFloat(text: string): string {
  if (text === '-0') return '0'
  return endsInDigit(text) ? text : `"${text}"`
}

/**
 * numeric → a number where a double reads it back the same, else a string. The zeros that only the column's scale adds
 * are left out, so that equal values are equal text: a wider scale changes no fingerprint.
 */
export function encodeNumeric(text: string): string {
  if (!endsInDigit(text)) return `"${text}"`
  const plain = text.endsWith('0') && text.includes('.') ? withoutTrailingZeros(text) : text
  // Any 15 significant digits survive a double.
  return plain.length <= 15 || survivesDouble(plain) ? plain : `"${plain}"`
}

function withoutTrailingZeros(text: string): string {
  let end = text.length
  while (text.charCodeAt(end - 1) === zero) end--
  return text.slice(0, text.charCodeAt(end - 1) === dot ? end - 1 : end)
}

function survivesDouble(plain: string): boolean {
  // A double's exponent ends near ±308; a numeric may have 131,072 digits before the point and 16,383 after it.
  if (plain.length > 300) return false
  const digits = plain.replace(/[-.]/g, '').replace(/^0+/, '').replace(/0+$/, '')
  return digits.length <= 15 || String(Number(plain)) === plain
}

function endsInDigit(text: string): boolean {
  const code = text.charCodeAt(text.length - 1)
  return code >= zero && code <= nine
}

const zero = 0x30
const nine = 0x39
const dot = 0x2e
