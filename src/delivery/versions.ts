import type { Arrival } from './ports.js'

/** What a version that waits costs beside its JSON. */
const arrivalBytes = 150

/**
 * What waits of an object of which each version is sent: the versions in the order of the WAL, and behind all of them the
 * hints that its row may differ. A hint reads the row, and so would overtake the versions that came before it.
 */
export class Versions {
  readonly #versions: Arrival[] = []
  #hints: Arrival[] = []
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  /** Versions that wait; hints do not count. */
  get length(): number {
    return this.#versions.length
  }

  add(arrival: Arrival): void {
    if (arrival.ticket.kept === true) this.#hints.push(arrival)
    else this.#versions.push(arrival)
    this.#bytes += bytesOf(arrival)
  }

  /** Takes out what is next: a version, or all hints where there is none. */
  next(): readonly Arrival[] {
    const version = this.#versions.shift()
    if (version === undefined) return this.#takeHints()
    this.#bytes -= bytesOf(version)
    return [version]
  }

  /** Takes out everything. */
  all(): readonly Arrival[] {
    const versions = this.#versions.splice(0)
    return versions.concat(this.#takeHints())
  }

  #takeHints(): Arrival[] {
    const hints = this.#hints
    this.#hints = []
    if (this.#versions.length === 0) this.#bytes = 0
    return hints
  }
}

const bytesOf = ({ content }: Arrival): number => arrivalBytes + (content.kind === 'object' ? content.json.length : 0)
