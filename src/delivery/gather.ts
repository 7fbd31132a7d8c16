/** Runs one query at a time for a key; what is added while it is answered gathers for the next one. */
export class Gather<Key, Item> {
  readonly #maxItems: () => number
  readonly #run: (key: Key, items: Item[]) => Promise<void>
  readonly #queues = new Map<Key, Item[]>()

  /** @param maxItems asked before each run. */
  constructor(maxItems: () => number, run: (key: Key, items: Item[]) => Promise<void>) {
    this.#maxItems = maxItems
    this.#run = run
  }

  /** Returns the work that it started, or `null` where a run that is under way will take the item. */
  add(key: Key, item: Item): Promise<void> | null {
    const queue = this.#queues.get(key)
    if (queue !== undefined) {
      queue.push(item)
      return null
    }
    const started = [item]
    this.#queues.set(key, started)
    return this.#drain(key, started)
  }

  async #drain(key: Key, queue: Item[]): Promise<void> {
    // A turn of the event loop: what was read from the socket in the same turn shares the query.
    await new Promise(setImmediate)
    try {
      while (queue.length > 0) await this.#run(key, queue.splice(0, this.#maxItems()))
    } finally {
      this.#queues.delete(key)
    }
  }
}
