/** What lines are drawn on: a terminal. */
export interface Terminal {
  readonly columns?: number | undefined
  readonly rows?: number | undefined
  write(text: string): unknown
}

const csi = '\x1b['
const hideCursor = `${csi}?25l`
const showCursor = `${csi}?25h`
/** A line that is wider than it looks (East Asian letters take two columns) is cut, and does not wrap. */
const wrapOff = `${csi}?7l`
const wrapOn = `${csi}?7h`
const eraseLine = `${csi}K`
const eraseBelow = `${csi}J`

/** Lines at the foot of a terminal that are drawn again in place, while others are written above them. */
export class LiveLines {
  readonly #terminal: Terminal
  #lines: readonly string[] = []
  #state: 'unused' | 'drawn' | 'ended' = 'unused'

  constructor(terminal: Terminal) {
    this.#terminal = terminal
  }

  /** In characters. */
  get width(): number {
    return this.#terminal.columns || 80
  }

  /** Draws these lines instead of the last ones; of more than fit on the screen, the last. */
  draw(lines: readonly string[]): void {
    if (this.#state === 'ended') return
    const room = Math.max(1, (this.#terminal.rows || 24) - 1)
    const next = lines.slice(-room)
    if (next.length === this.#lines.length && next.every((line, at) => line === this.#lines[at])) return
    const start = this.#state === 'unused' ? hideCursor : ''
    this.#state = 'drawn'
    this.#terminal.write(`${start}${this.#toTop()}${text(next)}${eraseBelow}`)
    this.#lines = next
  }

  /** Writes whole lines that stay, above those that are drawn. */
  above(written: string): void {
    const whole = written.endsWith('\n') ? written : `${written}\n`
    if (this.#lines.length === 0 || this.#state === 'ended') this.#terminal.write(whole)
    else this.#terminal.write(`${this.#toTop()}${eraseBelow}${whole}${text(this.#lines)}`)
  }

  /** Leaves the lines as they are, and gives the cursor back. */
  end(): void {
    if (this.#state === 'drawn') this.#terminal.write(showCursor)
    this.#state = 'ended'
  }

  /** Not by the cursor's column alone: what is typed, as the `^C` of Ctrl-C, is echoed below the lines. */
  #toTop(): string {
    return this.#lines.length === 0 ? '\r' : `\r${csi}${this.#lines.length}A`
  }
}

const text = (lines: readonly string[]): string =>
  lines.length === 0 ? '' : `${wrapOff}${lines.map((line) => `${line}${eraseLine}\n`).join('')}${wrapOn}`
