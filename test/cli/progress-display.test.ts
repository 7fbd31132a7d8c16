import { describe, expect, it } from 'vitest'
import { LiveLines } from '../../src/cli/live-lines.js'
import { ProgressDisplay } from '../../src/cli/progress-display.js'
import type { ProgressEvent } from '../../src/cli/progress-events.js'
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

/** A terminal of `columns` by `rows` that knows the sequences that are used, and fails for any other. */
class Screen {
  readonly columns: number
  readonly rows: number
  readonly screen: string[] = ['']
  cursorHidden = false
  writes = 0
  #row = 0
  #column = 0

  constructor({ columns = 80, rows = 24 } = {}) {
    this.columns = columns
    this.rows = rows
  }

  write(text: string): void {
    this.writes += 1
    const sequences = new RegExp(`${esc}\\[(\\??\\d*)([A-Za-z])|[^]`, 'gu')
    for (const [whole, argument = '', command] of text.matchAll(sequences)) {
      if (command !== undefined) this.#control(argument, command)
      else if (whole === '\n') this.#newLine()
      else if (whole === '\r') this.#column = 0
      else if (whole === esc) throw new Error('a sequence that this terminal does not know')
      else this.#put(whole)
    }
  }

  /** The lines as they are seen; lines that have left the screen are kept, as in a terminal. */
  get text(): string[] {
    return this.screen.map((line) => line.trimEnd())
  }

  #put(character: string): void {
    const line = this.screen[this.#row] ?? ''
    this.screen[this.#row] = line.slice(0, this.#column).padEnd(this.#column) + character + line.slice(this.#column + 1)
    this.#column += 1
  }

  #newLine(): void {
    this.#row += 1
    this.#column = 0
    if (this.screen.length === this.#row) this.screen.push('')
  }

  #control(argument: string, command: string): void {
    if (command === 'A') {
      const top = Math.max(0, this.screen.length - this.rows)
      this.#row = Math.max(top, this.#row - Number(argument))
    } else if (command === 'K') this.screen[this.#row] = (this.screen[this.#row] ?? '').slice(0, this.#column)
    else if (command === 'J') {
      this.screen.length = this.#row + 1
      this.screen[this.#row] = (this.screen[this.#row] ?? '').slice(0, this.#column)
    } else if (argument === '?25') this.cursorHidden = command === 'l'
    else if (argument !== '?7') throw new Error(`this terminal does not know ${argument}${command}`)
  }
}

describe('lines that are drawn in place', () => {
  it('replace the ones before, also shorter and fewer ones', () => {
    const screen = new Screen()
    const lines = new LiveLines(screen)
    lines.draw(['one is long', 'two'])
    lines.draw(['one', 'two is long now', 'three'])
    expect(screen.text).toEqual(['one', 'two is long now', 'three', ''])
    lines.draw(['two'])
    expect(screen.text).toEqual(['two', ''])
  })

  it('stay below what is logged, also after Ctrl-C was echoed', () => {
    const screen = new Screen()
    const lines = new LiveLines(screen)
    lines.above('before\n')
    lines.draw(['a bar'])
    lines.above('a warning\nof two lines\n')
    screen.write('^C')
    lines.above('stopping')
    lines.draw(['the bar'])
    expect(screen.text).toEqual(['before', 'a warning', 'of two lines', 'stopping', 'the bar', ''])
  })

  it('are not written again where nothing has changed', () => {
    const screen = new Screen()
    const lines = new LiveLines(screen)
    lines.draw(['a bar'])
    const { writes } = screen
    lines.draw(['a bar'])
    expect(screen.writes).toBe(writes)
  })

  it('are the last of them where there are more than the screen has', () => {
    const screen = new Screen({ rows: 4 })
    const lines = new LiveLines(screen)
    for (const run of ['a', 'b']) lines.draw([1, 2, 3, 4, 5].map((n) => `${run}${n}`))
    expect(screen.text).toEqual(['b3', 'b4', 'b5', ''])
  })

  it('give the cursor back at the end, stay, and are not drawn any more', () => {
    const screen = new Screen()
    const lines = new LiveLines(screen)
    lines.draw(['a bar'])
    expect(screen.cursorHidden).toBe(true)
    lines.end()
    expect(screen.cursorHidden).toBe(false)
    lines.draw(['another'])
    lines.above('an error')
    lines.end()
    expect(screen.text).toEqual(['a bar', 'an error', ''])
    expect(screen.cursorHidden).toBe(false)
  })

  it('write nothing at all where nothing was drawn', () => {
    const screen = new Screen()
    new LiveLines(screen).end()
    expect(screen.writes).toBe(0)
  })
})

function displaying() {
  const screen = new Screen({ columns: 100 })
  const events: ProgressEvent[] = []
  const clock = { ms: Date.UTC(2026, 0, 1) }
  const display = new ProgressDisplay({
    lines: new LiveLines(screen),
    paint,
    emit: (event) => events.push(event),
    now: () => clock.ms,
  })
  return { screen, events, clock, display }
}

describe('the display of a backfill', () => {
  it('keeps a line for each table that is done above the bars of those that are not', () => {
    const { display, screen, clock } = displaying()
    display.follow(progress())
    display.follow(progress({ source: 'public.sellers', phase: 'waiting' }))
    display.tick()
    expect(screen.text.map((line) => line.split(' ')[0])).toEqual(['public.products', 'public.sellers', ''])
    clock.ms += 5_000
    display.follow(progress({ phase: 'done', rows: 10, imported: 10 }))
    // Late, and of no interest any more.
    display.follow(progress({ rows: 3 }))
    display.tick()
    expect(screen.text[0]).toBe('public.products  done  10 rows  0 in step  10 sent  in 5 s')
    expect(screen.text[1]).toMatch(/^public\.sellers .* waiting for its turn$/)
    display.finish({
      tables: [
        { ...counts, rows: 10, imported: 10 },
        { ...counts, source: 'public.sellers' },
      ],
    })
    expect(screen.text).toEqual([
      'public.products  done  10 rows  0 in step  10 sent  in 5 s',
      'public.sellers  done  0 rows  0 in step  0 sent  in 5 s',
      '',
    ])
    expect(screen.cursorHidden).toBe(false)
  })

  it('gives progress each two seconds, one event at the end of each table, and one at the end of all', () => {
    const { display, events, clock } = displaying()
    for (let at = 0; at <= 50; at += 1) {
      display.follow(progress({ rows: at * 100 }))
      display.tick()
      clock.ms += 100
    }
    const done = { ...counts, rows: 5_100, inStep: 100, imported: 5_000, imports: 1 }
    display.follow({ ...progress(done), phase: 'done' })
    display.finish({ tables: [done] })
    expect(events.map(({ event }) => event)).toEqual(['progress', 'progress', 'table', 'done'])
    expect(events[0]).toEqual({
      event: 'progress',
      time: '2026-01-01T00:00:02.000Z',
      ...progress({ rows: 2_000 }),
      sent: 0,
      rowsPerSecond: 1_000,
      secondsLeft: 98,
    })
    expect(events[2]).toEqual({ event: 'table', time: '2026-01-01T00:00:05.100Z', ...done, seconds: 5.1 })
    expect(events[3]).toEqual({
      event: 'done',
      time: '2026-01-01T00:00:05.100Z',
      tables: [done],
      seconds: 5.1,
      parked: 0,
    })
  })

  it('tells the end of each table once, also of one that was never told of', () => {
    const { display, events } = displaying()
    display.follow(progress({ phase: 'done' }))
    display.finish({ tables: [counts, { ...counts, source: 'public.sellers' }] })
    expect(events.map((one) => [one.event, 'source' in one ? one.source : null])).toEqual([
      ['table', 'public.products'],
      ['table', 'public.sellers'],
      ['done', null],
    ])
  })

  it('lets the rate fall while nothing is told', () => {
    const { display, events, clock } = displaying()
    display.follow(progress())
    clock.ms += 2_000
    display.follow(progress({ rows: 2_000 }))
    for (let at = 0; at < 600; at += 1) {
      display.tick()
      clock.ms += 100
    }
    const rates = events.map((one) => ('rowsPerSecond' in one ? one.rowsPerSecond : null))
    expect(rates[0]).toBe(1_000)
    expect(rates.at(-1)).toBeLessThan(50)
  })

  it('leaves the bars as they are where a signal has stopped it', () => {
    const { display, events, screen } = displaying()
    display.follow(progress({ phase: 'waiting' }))
    display.tick()
    const before = screen.text
    display.stopped('SIGTERM')
    display.tick()
    expect(screen.text).toEqual(before)
    expect(screen.cursorHidden).toBe(false)
    expect(events).toEqual([{ event: 'stopped', time: '2026-01-01T00:00:00.000Z', signal: 'SIGTERM', seconds: 0 }])
  })
})
