interface IntakeOptions {
  readonly maxPendingBytes: number
  /** The stream, once it is there. */
  readonly stream: () => { pause(): void; resume(): void } | null
}

/** Promise 6: above the budget the socket is not read; below half of it, it is again. */
export class Intake {
  readonly #options: IntakeOptions
  #paused = false

  constructor(options: IntakeOptions) {
    this.#options = options
  }

  get isPaused(): boolean {
    return this.#paused
  }

  /** @param pendingBytes held of changes that stand nowhere but in the WAL. */
  regulate(pendingBytes: number): void {
    const { maxPendingBytes, stream } = this.#options
    if (!this.#paused && pendingBytes > maxPendingBytes) {
      this.#paused = true
      stream()?.pause()
    } else if (this.#paused && pendingBytes < maxPendingBytes / 2) {
      this.#paused = false
      stream()?.resume()
    }
  }
}
