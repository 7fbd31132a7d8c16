import type { ObjectSlot } from './slot.js'

/** Bytes that are ready to be sent, above which no more rows are read. */
const maxReadyBytes = 8 * 1024 * 1024

interface BacklogOptions {
  /** Called after each change. */
  readonly onBytes: (bytes: number) => void
  /** Bytes that wait for a request. */
  readonly readyBytes: () => number
}

/** The memory that waits or is in flight, about, and who waits for it to become less. */
export class Backlog {
  readonly #options: BacklogOptions
  #bytes = 0
  #stopped = false
  #untilIdle: (() => void)[] = []
  #untilRoom: (() => void)[] = []

  constructor(options: BacklogOptions) {
    this.#options = options
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Notes what a slot holds now. */
  count(slot: ObjectSlot): void {
    this.#change(slot, slot.bytes())
  }

  /** The slot is gone. */
  release(slot: ObjectSlot): void {
    this.#change(slot, 0)
    if (this.#bytes !== 0) return
    for (const resolve of this.#untilIdle.splice(0)) resolve()
  }

  /** Resolves once nothing waits and nothing is in flight. */
  idle(): Promise<void> {
    return this.#bytes === 0 ? Promise.resolve() : new Promise((resolve) => this.#untilIdle.push(resolve))
  }

  /** Resolves once more rows may be read. */
  async room(): Promise<void> {
    while (!this.#hasRoom()) await new Promise<void>((resolve) => this.#untilRoom.push(resolve))
  }

  /** Nobody waits for room any more. */
  stop(): void {
    this.#stopped = true
    this.#tellRoom()
  }

  #change(slot: ObjectSlot, bytes: number): void {
    this.#bytes += bytes - slot.countedBytes
    slot.countedBytes = bytes
    this.#options.onBytes(this.#bytes)
    this.#tellRoom()
  }

  #hasRoom(): boolean {
    return this.#stopped || this.#options.readyBytes() <= maxReadyBytes
  }

  #tellRoom(): void {
    if (this.#untilRoom.length > 0 && this.#hasRoom()) for (const resolve of this.#untilRoom.splice(0)) resolve()
  }
}
