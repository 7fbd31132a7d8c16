import type { ObjectSlot } from './slot.js'

/**
 * Bytes that are ready to be sent, of all namespaces, at most. Rows of one are read as long as it has no more ready than
 * there is room left: alone it may have half of it, and one that is stuck leaves room for the others.
 */
const maxReadyBytes = 16 * 1024 * 1024

interface BacklogOptions {
  /** Called after each change with the bytes that the WAL is kept for. */
  readonly onWalBytes: (bytes: number) => void
  /** Bytes that wait for a request. */
  readonly readyBytes: () => number
}

interface Waiter {
  readonly ownReadyBytes: () => number
  readonly resolve: () => void
}

/** The memory that waits or is in flight, about, and who waits for it to become less. */
export class Backlog {
  readonly #options: BacklogOptions
  #bytes = 0
  #walBytes = 0
  #stopped = false
  #untilIdle: (() => void)[] = []
  #untilRoom: Waiter[] = []

  constructor(options: BacklogOptions) {
    this.#options = options
  }

  get bytes(): number {
    return this.#bytes
  }

  /** What is held of changes that stand nowhere but in the WAL. */
  get walBytes(): number {
    return this.#walBytes
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

  /** Resolves once more rows may be read for a namespace that has so much ready. */
  async room(ownReadyBytes: () => number): Promise<void> {
    while (!this.#hasRoom(ownReadyBytes)) {
      await new Promise<void>((resolve) => this.#untilRoom.push({ ownReadyBytes, resolve }))
    }
  }

  /** Nobody waits for room any more. */
  stop(): void {
    this.#stopped = true
    this.#tellRoom()
  }

  #change(slot: ObjectSlot, bytes: number): void {
    const walBytes = bytes > 0 && slot.holdsWal ? bytes : 0
    this.#bytes += bytes - slot.countedBytes
    this.#walBytes += walBytes - slot.countedWalBytes
    slot.countedBytes = bytes
    slot.countedWalBytes = walBytes
    this.#options.onWalBytes(this.#walBytes)
    this.#tellRoom()
  }

  #hasRoom(ownReadyBytes: () => number): boolean {
    return this.#stopped || ownReadyBytes() <= maxReadyBytes - this.#options.readyBytes()
  }

  #tellRoom(): void {
    if (this.#untilRoom.length === 0) return
    const waiters = this.#untilRoom
    this.#untilRoom = []
    for (const waiter of waiters) {
      if (this.#hasRoom(waiter.ownReadyBytes)) waiter.resolve()
      else this.#untilRoom.push(waiter)
    }
  }
}
