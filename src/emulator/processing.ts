/** The longest time that a timer takes. */
const maxTimerMs = 2 ** 31 - 1

/**
 * Things that are processed some time after they came, in the order in which they came. That happens by a timer, and in
 * `settle`, which is to be called before anything is asked or added: so no answer depends on how punctual timers are.
 */
export class Processing<T> {
  readonly #delayMs: number
  readonly #process: (thing: T) => void
  /** Each with the time that it is due at, in milliseconds. */
  readonly #waiting = new Map<T, number>()
  #held = false
  #timer: NodeJS.Timeout | undefined

  constructor(delayMs: number, process: (thing: T) => void) {
    this.#delayMs = delayMs
    this.#process = process
  }

  push(thing: T): void {
    this.#waiting.set(thing, performance.now() + this.#delayMs)
    this.#arm()
  }

  /** Processes what is due. */
  settle(): void {
    if (this.#held || this.#waiting.size === 0) return
    const now = performance.now()
    for (const [thing, due] of this.#waiting) {
      if (due > now) return
      this.#waiting.delete(thing)
      this.#process(thing)
    }
  }

  /** From now on nothing is processed by itself. */
  hold(): void {
    this.settle()
    this.#held = true
  }

  /** Processes one thing now; `false` where it does not wait. A hold goes on for the others. */
  release(thing: T): boolean {
    const waited = this.#waiting.has(thing)
    this.settle()
    if (this.#waiting.delete(thing)) this.#process(thing)
    return waited
  }

  /** Ends the hold and processes all that waits, due or not. Answers with how many. */
  releaseAll(): number {
    this.#held = false
    const things = [...this.#waiting.keys()]
    this.#waiting.clear()
    for (const thing of things) this.#process(thing)
    return things.length
  }

  /** Forgets what waits, and ends the hold. */
  clear(): void {
    this.#waiting.clear()
    this.#held = false
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #arm(): void {
    if (this.#held || this.#timer !== undefined) return
    const due = this.#waiting.values().next().value
    if (due === undefined) return
    const ring = (): void => {
      this.#timer = undefined
      this.settle()
      this.#arm()
    }
    // Rounded up, for a timer that rings too early would ring again at once.
    const delay = Math.min(Math.max(1, Math.ceil(due - performance.now())), maxTimerMs)
    this.#timer = setTimeout(ring, delay).unref()
  }
}
