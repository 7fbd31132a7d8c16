/** A client that gives a connection up and retries on another one may be seen doing so in the opposite order. */
const graceMs = 100

/** One HTTP request, from its headers to its answer or to the loss of its connection. */
export interface Flight {
  readonly startedAt: number
  /** `Infinity` while it lasts. */
  endedAt: number
  /** It ended without an answer, because the client went away. */
  lost: boolean
  held: readonly string[]
  holders: Map<string, Flight> | null
}

/**
 * Watches the rule that an object is in one request at a time. The ids of a request are known only when its body has been
 * read, so requests that have ended are remembered for as long as one that was there before their end is still being read.
 */
export class InFlight {
  readonly #report: (namespace: string, id: string) => void
  readonly #holders = new Map<string, Map<string, Flight>>()
  readonly #reading = new Set<Flight>()
  readonly #ended = new Set<Flight>()

  constructor(report: (namespace: string, id: string) => void) {
    this.#report = report
  }

  /** The headers are there. */
  begin(): Flight {
    const flight = {
      startedAt: performance.now(),
      endedAt: Number.POSITIVE_INFINITY,
      lost: false,
      held: [],
      holders: null,
    }
    this.#reading.add(flight)
    return flight
  }

  /** The ids are known. */
  hold(flight: Flight, namespace: string, ids: readonly string[]): void {
    this.#reading.delete(flight)
    if (flight.endedAt !== Number.POSITIVE_INFINITY) return
    let holders = this.#holders.get(namespace)
    if (holders === undefined) {
      holders = new Map()
      this.#holders.set(namespace, holders)
    }
    flight.held = ids
    flight.holders = holders
    for (const id of ids) {
      const other = holders.get(id)
      if (other !== undefined && other !== flight && other.endedAt > flight.startedAt)
        this.#judge(flight, other, namespace, id)
      holders.set(id, flight)
    }
  }

  /** The answer is handed to the connection, or the connection is gone. */
  end(flight: Flight, lost: boolean): void {
    if (flight.endedAt !== Number.POSITIVE_INFINITY) return
    flight.endedAt = performance.now()
    flight.lost = lost
    this.#reading.delete(flight)
    if (flight.holders !== null) this.#ended.add(flight)
    this.#forget()
  }

  #judge(flight: Flight, other: Flight, namespace: string, id: string): void {
    const decide = (): void => {
      if (!other.lost || other.endedAt - flight.startedAt > graceMs) this.#report(namespace, id)
    }
    if (other.endedAt !== Number.POSITIVE_INFINITY) decide()
    else setTimeout(decide, graceMs).unref()
  }

  #forget(): void {
    const oldest = this.#reading.values().next().value?.startedAt ?? Number.POSITIVE_INFINITY
    for (const flight of this.#ended) {
      if (flight.endedAt > oldest) return
      this.#ended.delete(flight)
      for (const id of flight.held) if (flight.holders?.get(id) === flight) flight.holders.delete(id)
    }
  }
}
