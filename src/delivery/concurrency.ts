/**
 * How many requests may be in flight: halves when the API says 429, and grows by one with every full round of
 * successes, as TCP does (additive increase, multiplicative decrease).
 */
export class ConcurrencyLimit {
  readonly #max: number
  #limit: number
  #sinceChange = 0

  constructor(max: number) {
    this.#max = max
    this.#limit = max
  }

  get limit(): number {
    return this.#limit
  }

  succeeded(): void {
    if (this.#limit === this.#max) return
    this.#sinceChange += 1
    if (this.#sinceChange < this.#limit) return
    this.#limit += 1
    this.#sinceChange = 0
  }

  throttled(): void {
    this.#limit = Math.max(1, Math.floor(this.#limit / 2))
    this.#sinceChange = 0
  }
}
