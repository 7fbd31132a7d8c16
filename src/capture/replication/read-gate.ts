import type { Duplex } from 'node:stream'

export interface ReadGateSettings {
  /** Reads smaller than this are followed by a pause. */
  readonly coalesceBytes: number
  /** How long that pause is in a thin stream, where it is all that a reader waits for. */
  readonly coalesceMs: number
  /** How long it is in a dense one: where more than `coalesceBytes` had come since the last pause. */
  readonly coalesceDenseMs: number
}

/**
 * Decides when the socket is read. Two may hold it: the consumer, whose budget is used up, and the coalescing of reads.
 *
 * The walsender writes a message at a time, and an idle reader wakes up for each: 728,000 reads of 450 bytes for
 * 500,000 rows. A pause of a millisecond after each small read makes 8,300 reads of it, a third of our CPU and less
 * than half of the walsender's. What is waited for has already been delivered, so the cost is a millisecond at most.
 * In a dense stream, where rows wait for each other anyway, a longer pause makes the walsender's writes cheaper still:
 * 1,000 rows of 450 bytes take it 5.6 ms with pauses of 1 ms, and 4.0 ms with pauses of 8 ms.
 */
export class ReadGate {
  readonly #socket: Duplex
  readonly #settings: ReadGateSettings
  readonly #onRead: () => void
  #heldByConsumer: boolean
  #coalescing: NodeJS.Timeout | null = null
  #check: NodeJS.Immediate | null = null
  /** Bytes of this turn of the event loop. */
  #bytes = 0
  /** Bytes since the last pause. */
  #burst = 0
  #closed = false

  constructor(socket: Duplex, settings: ReadGateSettings, options: { held: boolean; onRead: () => void }) {
    this.#socket = socket
    this.#settings = settings
    this.#onRead = options.onRead
    this.#heldByConsumer = options.held
    socket.on('data', this.#read)
    if (options.held) socket.pause()
  }

  /** The consumer takes no more; what has been read already still arrives. */
  hold(): void {
    if (this.#heldByConsumer || this.#closed) return
    this.#heldByConsumer = true
    this.#socket.pause()
  }

  release(): void {
    if (!this.#heldByConsumer || this.#closed) return
    this.#heldByConsumer = false
    if (this.#coalescing === null) this.#socket.resume()
  }

  /** Leaves the socket to itself, flowing, without timers or listeners of ours. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#socket.off('data', this.#read)
    if (this.#coalescing !== null) clearTimeout(this.#coalescing)
    if (this.#check !== null) clearImmediate(this.#check)
    this.#socket.resume()
  }

  readonly #read = (chunk: Buffer): void => {
    this.#bytes += chunk.length
    this.#onRead()
    // One turn of the event loop can bring several chunks (TLS records, a drained buffer): they count together.
    this.#check ??= setImmediate(this.#coalesce)
  }

  readonly #coalesce = (): void => {
    this.#check = null
    const { coalesceBytes, coalesceMs, coalesceDenseMs } = this.#settings
    const small = this.#bytes < coalesceBytes
    this.#burst += this.#bytes
    this.#bytes = 0
    if (!small || this.#coalescing !== null || this.#heldByConsumer) return
    this.#socket.pause()
    this.#coalescing = setTimeout(this.#resume, this.#burst < coalesceBytes ? coalesceMs : coalesceDenseMs)
    this.#burst = 0
  }

  readonly #resume = (): void => {
    this.#coalescing = null
    if (!this.#heldByConsumer) this.#socket.resume()
  }
}
