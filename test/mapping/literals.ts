import fc from 'fast-check'

// Literals that Postgres reads as values of a type.

export const text = fc
  .oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.constantFrom(
      '',
      'NULL',
      'null',
      '{}',
      '"',
      '\\',
      '\\"',
      'a\nb',
      '\u2028',
      '\u007f',
      '[0:1]={a}',
      'é',
      '😀',
      'x'.repeat(500),
    ),
  )
  .map((s) => s.replaceAll('\0', ''))
export const int = (bits: bigint) => fc.bigInt({ min: -(2n ** (bits - 1n)), max: 2n ** (bits - 1n) - 1n }).map(String)
export const float = fc
  .oneof(fc.double(), fc.integer(), fc.constantFrom(1e300, -5e-324, -0, 0.1, 1e21, 123456789012345680000))
  .map((n) => (Object.is(n, -0) ? '-0' : String(n)))
const digits = (max: number) => fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: max }).map((d) => d.join(''))
export const numeric = fc
  .oneof(
    fc
      .tuple(fc.constantFrom('', '-'), digits(25), digits(25))
      .map(([sign, a, b]) => `${sign}${a === '' ? '0' : a}.${b}0`),
    fc.tuple(fc.constantFrom('', '-'), digits(9), digits(6)).map(([sign, a, b]) => `${sign}0${a}.${b}00`),
    int(64n),
    fc.tuple(fc.integer({ min: 1, max: 999 }), fc.integer({ min: -400, max: 400 })).map(([n, e]) => `${n}e${e}`),
    fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  )
  .map(String)
