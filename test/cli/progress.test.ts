import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Course, estimate, follow } from '../../src/cli/progress.js'
import { formatCourse, formatDuration, formatEnd, formatParked, formatReport } from '../../src/cli/progress-text.js'
import { painter } from '../../src/cli/terminal.js'
import type { BackfilledTable, BackfillProgress } from '../../src/pipeline/backfill/report.js'

const esc = String.fromCharCode(27)
const paint = painter(false)

const counts: BackfilledTable = {
  source: 'public.products',
  rows: 0,
  inStep: 0,
  imported: 0,
  imports: 0,
  queued: 0,
  refused: 0,
}
const progress = (changes: Partial<BackfillProgress> = {}): BackfillProgress => ({
  ...counts,
  phase: 'scanning',
  estimatedRows: 100_000,
  waiting: 0,
  ...changes,
})

/** What is told at these times, in milliseconds. */
function told(...looks: readonly (readonly [number, Partial<BackfillProgress>])[]): Course {
  let course: Course | undefined
  for (const [atMs, changes] of looks) course = follow(course, progress(changes), atMs)
  if (course === undefined) throw new Error('nothing was told')
  return course
}

/** A table that is read at a steady rate, told of four times a second. */
const steady = (perSecond: number, seconds: number, from = 0): [number, Partial<BackfillProgress>][] =>
  Array.from({ length: seconds * 4 + 1 }, (_, at) => [at * 250, { rows: from + (at * perSecond) / 4 }])

describe('the estimate of a backfill', () => {
  it('of a steady read is its rate, and the time for the rows that are left', () => {
    const { rowsPerSecond, secondsLeft, fraction } = estimate(told(...steady(1_000, 20)))
    expect(rowsPerSecond).toBeCloseTo(1_000)
    expect(secondsLeft).toBeCloseTo(80)
    expect(fraction).toBeCloseTo(0.2)
  })

  it('does not count what an earlier run has read', () => {
    expect(estimate(told(...steady(1_000, 20, 50_000))).rowsPerSecond).toBeCloseTo(1_000)
  })

  it('tells no rate before a second has passed', () => {
    expect(estimate(told([0, {}], [900, { rows: 5_000 }])).rowsPerSecond).toBeNull()
    expect(estimate(told([0, {}], [1_000, { rows: 5_000 }])).rowsPerSecond).toBeCloseTo(5_000)
  })

  it('follows a change of the rate, and is not thrown by one burst', () => {
    const slow = steady(1_000, 60)
    const burst = estimate(told(...slow, [60_250, { rows: 61_250 }])).rowsPerSecond ?? 0
    expect(burst).toBeGreaterThan(1_000)
    expect(burst).toBeLessThan(1_200)
    const later = steady(4_000, 30, 60_000).map(([at, one]) => [at + 60_000, one] as const)
    expect(estimate(told(...slow, ...later)).rowsPerSecond).toBeGreaterThan(3_800)
  })

  it('falls while nothing is read', () => {
    const before = steady(1_000, 20)
    const still = Array.from({ length: 60 }, (_, at) => [21_000 + at * 1_000, { rows: 20_000 }] as const)
    expect(estimate(told(...before, ...still)).rowsPerSecond).toBeLessThan(10)
  })

  it('counts rows that were told of in the same millisecond with the next look', () => {
    expect(estimate(told([0, {}], [0, { rows: 500 }], [2_000, { rows: 2_000 }])).rowsPerSecond).toBeCloseTo(1_000)
  })

  it('of no known number of rows is a rate alone', () => {
    const looks = steady(1_000, 20).map(([at, one]) => [at, { ...one, estimatedRows: null }] as const)
    expect(estimate(told(...looks))).toMatchObject({ fraction: null, secondsLeft: null })
    expect(estimate(told(...looks)).rowsPerSecond).toBeCloseTo(1_000)
  })

  it('tells no time where more rows were read than were thought to be there, and is not done before it is', () => {
    const over = told([0, { rows: 150_000 }], [5_000, { rows: 160_000 }])
    expect(estimate(over)).toMatchObject({ fraction: 0.99, secondsLeft: null })
    const parts = [{ phase: 'importing' }, { phase: 'delivering' }, { phase: 'done' }] as const
    expect(parts.map((part) => estimate(told([0, part])).fraction)).toEqual([0.99, 0.99, 1])
  })

  it('counts what was handed on as sent once it does not wait any more', () => {
    const sent = (changes: Partial<BackfillProgress>): number =>
      estimate(told([0, { imported: 100, queued: 30, ...changes }])).sent
    expect(sent({ phase: 'scanning' })).toBe(100)
    expect(sent({ phase: 'delivering', waiting: 20 })).toBe(110)
    // Changes of others wait in the same table.
    expect(sent({ phase: 'delivering', waiting: 70 })).toBe(100)
    expect(sent({ phase: 'done' })).toBe(130)
  })

  it('is never negative and never infinite', () => {
    const look = fc.record({
      atMs: fc.integer({ min: 0, max: 100_000 }),
      rows: fc.nat({ max: 1_000_000 }),
      estimatedRows: fc.option(fc.nat({ max: 1_000_000 })),
      phase: fc.constantFrom('waiting', 'scanning', 'importing', 'delivering', 'done' as const),
    })
    fc.assert(
      fc.property(fc.array(look, { minLength: 1 }), (looks) => {
        const { fraction, rowsPerSecond, secondsLeft } = estimate(told(...looks.map((one) => [one.atMs, one] as const)))
        for (const value of [fraction, rowsPerSecond, secondsLeft]) {
          if (value === null) continue
          expect(Number.isFinite(value)).toBe(true)
          expect(value).toBeGreaterThanOrEqual(0)
        }
        expect(fraction ?? 0).toBeLessThanOrEqual(1)
      }),
    )
  })
})

describe('the line of a table', () => {
  const course = told(...steady(1_234, 30).map(([at, one]) => [at, { ...one, imported: 30_000 }] as const))
  const line = (width: number, of = course): string => formatCourse(of, { width, paint })

  it('has a bar, percent, rate, what was sent, the time left and the phase', () => {
    expect(line(200)).toBe(
      'public.products  ███████████░░░░░░░░░░░░░░░░░░░   37%  1,230 rows/s  30,000 sent  52 s left  reading the rows',
    )
  })

  it('leaves out the least of it where it is narrow, and the name and percent last', () => {
    expect([90, 70, 55, 38, 24, 12].map((width) => line(width))).toEqual([
      'public.products  ████░░░░░░░   37%  1,230 rows/s  30,000 sent  52 s left  reading the rows',
      'public.products  ██████░░░░░░░░░░░░   37%  52 s left  reading the rows',
      'public.products   37%  52 s left  reading the rows',
      'public.products   37%  52 s left',
      'public.products   37%',
      'public.prod…',
    ])
  })

  it('has the number of rows where it is not known how many there are', () => {
    const unknown = told([0, { estimatedRows: null }], [2_000, { estimatedRows: null, rows: 5_000 }])
    expect(line(200, unknown)).toBe('public.products  5,000 rows  2,500 rows/s  0 sent  reading the rows')
  })

  it.each([
    [{ phase: 'waiting' }, 'waiting for its turn'],
    [{ phase: 'importing' }, 'sending the last imports'],
    [{ phase: 'delivering', waiting: 1_200 }, 'delivering the rest, 1,200 wait'],
    [{ phase: 'delivering' }, 'delivering the rest'],
  ] as const)('says in words what is done: %j', (changes, words) => {
    expect(line(200, told([0, changes])).endsWith(`  ${words}`)).toBe(true)
  })

  it('is never wider than the terminal, with and without colours', () => {
    const any = fc.record({
      source: fc.string({ unit: 'grapheme', maxLength: 80 }),
      rows: fc.nat(),
      estimatedRows: fc.option(fc.nat()),
      imported: fc.nat(),
      queued: fc.nat(),
      refused: fc.nat(),
      waiting: fc.nat(),
      phase: fc.constantFrom('waiting', 'scanning', 'importing', 'delivering' as const),
    })
    const codes = new RegExp(`${esc}\\[[0-9;]*m`, 'g')
    fc.assert(
      fc.property(any, fc.integer({ min: 1, max: 200 }), (changes, width) => {
        const one = told([0, { phase: 'scanning' }], [5_000, changes])
        const plain = formatCourse(one, { width, paint })
        expect([...plain].length).toBeLessThanOrEqual(width)
        expect(plain).not.toMatch(/\p{Cc}/u)
        expect(formatCourse(one, { width, paint: painter(true) }).replace(codes, '')).toBe(plain)
        expect([...formatEnd(one, 6_000, { width, paint })].length).toBeLessThanOrEqual(width)
      }),
    )
  })

  it('of a table that is done says what became of it', () => {
    const done = told(
      [0, {}],
      [90_000, { phase: 'done', rows: 1_000_000, inStep: 12, imported: 999_000, queued: 988, refused: 3 }],
    )
    expect(formatEnd(done, 90_000, { width: 200, paint })).toBe(
      'public.products  done  1,000,000 rows  12 in step  999,988 sent  3 refused  in 1 min 30 s',
    )
    expect(formatEnd(done, 90_000, { width: 46, paint })).toBe('public.products  done  999,988 sent  3 refused')
  })
})

describe('a duration', () => {
  it.each([
    [0, '0 s'],
    [0.2, '1 s'],
    [59.5, '1 min'],
    [61, '1 min 1 s'],
    [3_600, '1 h'],
    [3_900, '1 h 5 min'],
    [172_799, '2 days'],
    [300_000, '3 days'],
  ])('of %d s is %s', (seconds, words) => {
    expect(formatDuration(seconds)).toBe(words)
  })
})

describe('the report', () => {
  it('is a table of the tables, and how many objects were sent', () => {
    const tables = [
      { ...counts, rows: 1_000_000, inStep: 10, imported: 999_000, imports: 7, queued: 988, refused: 2 },
      { ...counts, source: 'public.sellers' },
    ]
    expect(formatReport({ tables }, 192, paint).split('\n')).toEqual([
      'table                 rows  in step  imported  queued  refused',
      'public.products  1,000,000       10   999,000     988        2',
      'public.sellers           0        0         0       0        0',
      '',
      '✓ 999,988 objects sent, in 3 min 12 s',
    ])
  })

  it('is no success where SafetyKit has refused some', () => {
    const report = { tables: [{ ...counts, rows: 300, queued: 300 }] }
    expect(formatReport(report, 1, paint, 300).split('\n').at(-1)).toBe('! 300 objects sent, 300 refused, in 1 s')
    expect(formatParked(1)).toBe(
      '1 object was refused, and is tried again by a worker: safetykit-sync status shows why, safetykit-sync retry sends what was given up.',
    )
  })

  it('says so where nothing was to be sent', () => {
    expect(formatReport({ tables: [{ ...counts, rows: 5, inStep: 5 }] }, 1, paint)).toContain('Nothing was to be sent')
  })
})
