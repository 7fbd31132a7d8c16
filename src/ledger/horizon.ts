import type { Logger } from '../logger.js'

interface HorizonStore {
  horizon(name: string): Promise<bigint>
  setHorizon(name: string, through: bigint): Promise<void>
  raiseHorizon(name: string, through: bigint): Promise<void>
}

/**
 * A mark in the ledger that runs ahead of what this process sends, so that the process after a crash knows which changes
 * may have been sent without being recorded (docs/decisions/crash-horizon.md). It is moved in large steps, so it costs
 * one small update for each `step`, and cleared when the process ends in order.
 */
export class Horizon {
  /** How far an earlier process may have sent; 0 where it ended in order. */
  readonly previous: bigint
  readonly #name: string
  readonly #store: HorizonStore
  readonly #step: bigint
  readonly #logger: Logger
  #through: bigint
  #moving: Promise<void> | null = null

  private constructor(options: HorizonOptions, previous: bigint) {
    this.#name = options.name
    this.#store = options.store
    this.#step = options.step
    this.#logger = options.logger
    this.previous = previous
    this.#through = previous
  }

  static async open(options: HorizonOptions): Promise<Horizon> {
    return new Horizon(options, await options.store.horizon(options.name))
  }

  /** `null` where the mark is ahead of `position` already; else resolves once it is. */
  cover(position: bigint): Promise<void> | null {
    return position <= this.#through ? null : this.#reach(position)
  }

  /** Everything that was sent is recorded: the next process starts without a doubt. */
  async clear(): Promise<void> {
    await this.#moving
    await this.#store.setHorizon(this.#name, 0n)
    this.#through = 0n
  }

  async #reach(position: bigint): Promise<void> {
    while (position > this.#through) {
      this.#moving ??= this.#move(position + this.#step).finally(() => {
        this.#moving = null
      })
      await this.#moving
    }
  }

  async #move(through: bigint): Promise<void> {
    for (;;) {
      try {
        await this.#store.raiseHorizon(this.#name, through)
        this.#through = through
        return
      } catch (error) {
        this.#logger.error('The ledger could not be written, trying again', { horizon: this.#name, error })
        await new Promise((resolve) => setTimeout(resolve, 1_000))
      }
    }
  }
}

export interface HorizonOptions {
  readonly name: string
  readonly store: HorizonStore
  /** How far the mark jumps ahead. */
  readonly step: bigint
  readonly logger: Logger
}
